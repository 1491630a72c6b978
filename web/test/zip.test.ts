import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";
import { filesOfZip, ZipError } from "../src/state/upload/zip";

/** A zip archive of these files, packed by deflate where `packed` says so. */
function zip(files: [string, string, boolean][]): Blob {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [name, text, packed] of files) {
    const data = packed ? deflateRawSync(Buffer.from(text)) : Buffer.from(text);
    const head = Buffer.alloc(30 + name.length);
    head.writeUInt32LE(0x04034b50, 0);
    head.writeUInt16LE(packed ? 8 : 0, 8);
    head.writeUInt16LE(name.length, 26);
    head.write(name, 30);
    const entry = Buffer.alloc(46 + name.length);
    entry.writeUInt32LE(0x02014b50, 0);
    entry.writeUInt16LE(packed ? 8 : 0, 10);
    entry.writeUInt32LE(data.length, 20);
    entry.writeUInt32LE(text.length, 24);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(offset, 42);
    entry.write(name, 46);
    parts.push(head, data);
    directory.push(entry);
    offset += head.length + data.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(files.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(offset, 16);
  return new Blob([...parts, list, end] as BlobPart[]);
}

test("stored and packed files of an archive come out as they went in; folders and hidden files do not", async () => {
  const long = "a cup ".repeat(500);
  const given = zip([["a/one.jpg", long, true], ["a/", "", false], ["two.png", "xy", false], ["a/.hidden", "z", false], ["__MACOSX/a/_one.jpg", "z", false]]);
  const found: [string, string][] = [];
  for await (const file of filesOfZip(given)) found.push([file.name, await file.text()]);
  assert.deepEqual(found, [["a/one.jpg", long], ["two.png", "xy"]]);
});

test("what is no archive is refused by a sentence", async () => {
  await assert.rejects(filesOfZip(new Blob(["not a zip, but long enough to hold its end"])).next(), ZipError);
});
