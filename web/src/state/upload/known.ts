// Which files a category holds, by the hash of their bytes.
import type { Schemas } from "../../api/client";
import { ApiError, call, pathOf } from "../../api/client";

const LARGEST = 256 << 20; // bytes; the browser hashes a file in memory
const HASHED_AT_ONCE = 4;
const FIRST_WAIT = 500; // ms
const LONGEST_WAIT = 15_000;

/** A file with the SHA-256 of its bytes: null where it is not computed, and the file is sent unasked. */
export interface Hashed {
  file: File;
  sha256: string | null;
}

/** Hash files, in their order. Browsers do so at https and at localhost only. `unread` is told of the files that
 * cannot be read any more, which are left out. */
export async function hashed(files: File[], unread: (file: File) => void): Promise<Hashed[]> {
  const told: Hashed[] = files.map((file) => ({ file, sha256: null }));
  if (!("subtle" in crypto)) return told;
  const gone = new Set<Hashed>();
  const left = told.values();
  const workers = Array.from({ length: HASHED_AT_ONCE }, async () => {
    for (const one of left) {
      if (one.file.size > LARGEST) continue;
      try {
        const digest = await crypto.subtle.digest("SHA-256", await one.file.arrayBuffer());
        one.sha256 = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      } catch {
        gone.add(one);
        unread(one.file);
      }
    }
  });
  await Promise.all(workers);
  return told.filter((one) => !gone.has(one));
}

/** Ask which of these hashes a category holds; while the server cannot be reached, ask again and again, and
 * tell so to `lost`. */
export async function askKnown(category: string, hashes: string[], signal: AbortSignal, lost: (is: boolean) => void): Promise<Set<string>> {
  let failed = 0;
  try {
    for (;;) {
      try {
        const answer = await call<Schemas["KnownOut"]>("POST", pathOf(category, "images", "known"), { json: { sha256: hashes }, signal });
        return new Set(Object.keys(answer.known));
      } catch (error) {
        if (!isBroken(error)) throw error;
      }
      if (failed === 0) lost(true);
      await pause(failed, signal);
      failed += 1;
    }
  } finally {
    if (failed > 0) lost(false);
  }
}

/** Return whether an error says that the server was not reached, or cannot do its work at the moment. */
export function isBroken(error: unknown): boolean {
  return error instanceof ApiError && (error.code === "offline" || error.code === "unavailable" || error.status === 502 || error.status === 504);
}

/** Wait before the next try: longer each time, and not all for the same time. */
export function pause(failed: number, signal: AbortSignal): Promise<void> {
  const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failed) * (0.75 + Math.random() / 2);
  return new Promise((go, stop) => {
    const timer = setTimeout(go, wait);
    const end = () => {
      clearTimeout(timer);
      stop(signal.reason);
    };
    signal.addEventListener("abort", end, { once: true });
  });
}
