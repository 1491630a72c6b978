// Uploads: files, folders and zip archives, several requests at a time, each of a few files. The server is asked
// which of them it has, by their bytes, so that nothing is sent twice: neither after a broken connection nor when
// the same folder is dropped again.
import { signal } from "@preact/signals";
import type { Schemas } from "../../api/client";
import { ApiError, call, isAbort, pathOf } from "../../api/client";
import type { Hashed } from "./known";
import { askKnown, hashed, isBroken, pause } from "./known";
import { ZipError } from "./zip";

const AT_ONCE = 4; // requests
const FILES = 16; // a request
const BYTES = 8 << 20; // a request, unless one file is larger
const ASKED = { files: 500, bytes: 64 << 20 }; // of one question; files of an archive are unpacked for it
const TRIES = 5; // of a request whose connection breaks though the server answers others

export interface Refused {
  filename: string;
  message: string;
}
export interface Upload {
  category: string;
  /** Files that were found so far; more may come while folders and archives are read. */
  found: number;
  /** Files of which it is known what became of them. */
  sent: number;
  added: number;
  /** Files that were there already. */
  known: number;
  refused: Refused[];
  startedAt: number;
  running: boolean;
  /** Requests that wait for a server that does not answer. */
  lost: number;
}

/** The upload that runs, or ran last; null before the first. */
export const upload = signal<Upload | null>(null);
let own: AbortController | null = null;

/** Send files to a category; `done` is called when all are there. Only one upload runs at a time. */
export async function send(category: string, files: AsyncIterable<File>, done: () => void): Promise<void> {
  own?.abort();
  const mine = new AbortController();
  own = mine;
  upload.value = { category, found: 0, sent: 0, added: 0, known: 0, refused: [], startedAt: performance.now(), running: true, lost: 0 };
  const one = new Sending(category, mine.signal);
  const batches = batchesOf(one.unknown(files), (hash) => hash.file.size, FILES, BYTES);
  const workers = Array.from({ length: AT_ONCE }, async () => {
    for (;;) {
      const next = await batches.next();
      if (next.done || mine.signal.aborted) return;
      await one.send(next.value);
    }
  });
  const ended = await Promise.allSettled(workers);
  ended.push(...(await Promise.allSettled([one.twins()])));
  if (own !== mine) return; // another upload has begun
  const failed = ended.find((end) => end.status === "rejected");
  note({ running: false });
  if (failed && !isAbort(failed.reason)) refuse([{ filename: failed.reason instanceof ZipError ? "archive" : "", message: String((failed.reason as Error).message) }]);
  done();
}

/** End the upload; what has been sent stays. */
export function cancelUpload(): void {
  own?.abort();
  note({ running: false, lost: 0 });
}

/** One upload: what it has seen. */
class Sending {
  private readonly seen = new Set<string>();
  /** Files with the bytes of another file of this upload. */
  private again: { filename: string; sha256: string }[] = [];

  constructor(
    private readonly category: string,
    private readonly signal: AbortSignal,
  ) {}

  /** Yield the files that the category does not hold, each content once. */
  async *unknown(files: AsyncIterable<File>): AsyncGenerator<Hashed> {
    for await (const group of batchesOf(this.counted(files), (file) => file.size, ASKED.files, ASKED.bytes)) {
      const told = await hashed(group, (file) => this.passed([{ filename: file.name, message: "The file cannot be read any more." }]));
      const fresh = told.filter((one) => this.isFirst(one));
      const known = await this.known(fresh);
      note({ sent: upload.value!.sent + known.size, known: upload.value!.known + known.size });
      yield* fresh.filter(({ sha256 }) => sha256 === null || !known.has(sha256));
    }
  }

  /** Send files in one request. Where the connection breaks, go on with those that did not arrive. */
  async send(files: Hashed[]): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        this.took(await post(this.category, files, this.signal), tries > 1);
        return;
      } catch (error) {
        if (!isBroken(error) || tries === TRIES) {
          if (!(error instanceof ApiError)) throw error;
          const message = isBroken(error) ? `${error.message} Drop the files again to send what is missing.` : error.message;
          this.passed(files.map(({ file }) => ({ filename: file.name, message })));
          return;
        }
      }
      await pause(tries - 1, this.signal);
      const arrived = await this.known(files, true);
      note({ sent: upload.value!.sent + arrived.size, added: upload.value!.added + arrived.size });
      files = files.filter(({ sha256 }) => sha256 === null || !arrived.has(sha256));
      if (files.length === 0) return;
    }
  }

  /** Count the files whose bytes came more than once: they are there if the first of them is. */
  async twins(): Promise<void> {
    while (this.again.length > 0 && !this.signal.aborted) {
      const part = this.again.splice(0, ASKED.files);
      const known = await this.ask([...new Set(part.map(({ sha256 }) => sha256))]);
      const there = part.filter(({ sha256 }) => known.has(sha256)).length;
      note({ sent: upload.value!.sent + there, known: upload.value!.known + there });
      const others = part.filter(({ sha256 }) => !known.has(sha256));
      this.passed(others.map(({ filename }) => ({ filename, message: "Another file of the same bytes was refused." })));
    }
  }

  private isFirst({ file, sha256 }: Hashed): boolean {
    if (sha256 === null) return true;
    const first = !this.seen.has(sha256);
    if (first) this.seen.add(sha256);
    else this.again.push({ filename: file.name, sha256 });
    return first;
  }

  /** Count the outcomes. `again`: what is known by now came with a request whose answer was lost. */
  private took(items: Schemas["UploadItem"][], again: boolean): void {
    const has = (outcome: string) => items.filter((item) => item.outcome === outcome).length;
    const known = has("known") + has("updated");
    const refused = items.filter((item) => item.outcome === "refused");
    note({
      sent: upload.value!.sent + items.length - refused.length,
      added: upload.value!.added + has("added") + (again ? known : 0),
      known: upload.value!.known + has("duplicate") + (again ? 0 : known),
    });
    this.passed(refused.map((item) => ({ filename: item.filename, message: item.message ?? "refused" })));
  }

  private passed(refused: Refused[]): void {
    note({ sent: upload.value!.sent + refused.length });
    refuse(refused);
  }

  /** Ask which files the category holds; without hashes only whether the server answers, if `always`. */
  private async known(files: Hashed[], always = false): Promise<Set<string>> {
    const hashes = files.flatMap(({ sha256 }) => sha256 ?? []);
    return hashes.length > 0 || always ? this.ask(hashes) : new Set();
  }

  private ask(hashes: string[]): Promise<Set<string>> {
    return askKnown(this.category, hashes, this.signal, (is) => note({ lost: upload.value!.lost + (is ? 1 : -1) }));
  }

  private async *counted(files: AsyncIterable<File>): AsyncGenerator<File> {
    for await (const file of files) {
      if (this.signal.aborted) return;
      note({ found: upload.value!.found + 1 });
      yield file;
    }
  }
}

/** Send files; return what became of each. */
async function post(category: string, files: Hashed[], signal: AbortSignal): Promise<Schemas["UploadItem"][]> {
  const form = new FormData();
  for (const { file } of files) form.append("files", file, file.name);
  try {
    return (await call<Schemas["UploadOut"]>("POST", pathOf(category, "images"), { form, signal })).items;
  } catch (error) {
    // all files of the request were refused: the problem holds their outcomes; else the request itself failed
    const told = error instanceof ApiError ? (error.details["items"] as Schemas["UploadItem"][] | undefined) : undefined;
    if (told === undefined) throw error;
    return told;
  }
}

function note(part: Partial<Upload>): void {
  if (upload.value !== null) upload.value = { ...upload.value, ...part };
}

function refuse(more: Refused[]): void {
  if (more.length > 0) note({ refused: [...upload.value!.refused, ...more] });
}

/** Put what comes into groups of at most `most` and, but for single ones that are larger, `bytes`. */
async function* batchesOf<T>(things: AsyncIterable<T>, sizeOf: (thing: T) => number, most: number, bytes: number): AsyncGenerator<T[]> {
  let batch: T[] = [];
  let size = 0;
  for await (const thing of things) {
    if (batch.length > 0 && (batch.length === most || size + sizeOf(thing) > bytes)) {
      yield batch;
      batch = [];
      size = 0;
    }
    batch.push(thing);
    size += sizeOf(thing);
  }
  if (batch.length > 0) yield batch;
}
