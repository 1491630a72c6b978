// Reads the files of a zip archive in the browser: stored and deflated entries, found by the central directory
// (APPNOTE 4.3.12). Encrypted and zip64 archives are refused by a sentence.

export class ZipError extends Error {}

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;

interface Entry {
  name: string;
  method: number;
  size: number;
  packed: number;
  offset: number;
}

/** Yield the files of an archive, one after the other; folders, hidden files and macOS's extras are left out. */
export async function* filesOfZip(zip: Blob): AsyncGenerator<File> {
  for (const entry of await entriesOf(zip)) {
    const base = entry.name.split("/").pop()!;
    if (base === "" || base.startsWith(".") || entry.name.startsWith("__MACOSX/")) continue;
    yield new File([await contentOf(zip, entry)], entry.name);
  }
}

async function entriesOf(zip: Blob): Promise<Entry[]> {
  const tail = new DataView(await zip.slice(Math.max(0, zip.size - END_BYTES - LONGEST_COMMENT)).arrayBuffer());
  let end = tail.byteLength - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new ZipError("The file is no zip archive, or its end is missing: send it whole.");
  const [count, size, start] = [tail.getUint16(end + 10, true), tail.getUint32(end + 12, true), tail.getUint32(end + 16, true)];
  if (count === 0xffff || start === 0xffffffff) {
    throw new ZipError("The archive is larger than this page can read: use vitrine index add, which reads it from the disk.");
  }
  const directory = new DataView(await zip.slice(start, start + size).arrayBuffer());
  const entries: Entry[] = [];
  for (let at = 0, number = 0; number < count; number += 1) {
    if (at + 46 > directory.byteLength || directory.getUint32(at, true) !== ENTRY) throw new ZipError("The archive's list of files is damaged: make it again.");
    if (directory.getUint16(at + 8, true) & 1) throw new ZipError("The archive is encrypted: unpack it first.");
    const nameBytes = directory.getUint16(at + 28, true);
    entries.push({
      name: new TextDecoder().decode(new Uint8Array(directory.buffer, at + 46, nameBytes)),
      method: directory.getUint16(at + 10, true),
      packed: directory.getUint32(at + 20, true),
      size: directory.getUint32(at + 24, true),
      offset: directory.getUint32(at + 42, true),
    });
    at += 46 + nameBytes + directory.getUint16(at + 30, true) + directory.getUint16(at + 32, true);
  }
  return entries;
}

async function contentOf(zip: Blob, entry: Entry): Promise<Blob> {
  const head = new DataView(await zip.slice(entry.offset, entry.offset + 30).arrayBuffer());
  const from = entry.offset + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const packed = zip.slice(from, from + entry.packed);
  if (entry.method === 0) return packed;
  if (entry.method !== 8) throw new ZipError(`${entry.name} is packed by a method that this page cannot read: use vitrine index add.`);
  return new Response(packed.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}
