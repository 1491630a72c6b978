// Sentences for the person at the page: what was done, with its undo, and what went wrong, with a way out.
import { signal } from "@preact/signals";
import { ApiError, call } from "../api/client";

export interface Notice {
  id: number;
  text: string;
  bad: boolean;
  action: { label: string; run: () => void } | null;
}

export const notices = signal<Notice[]>([]);
const SECONDS = 8;
let last = 0;

/** Say something for a while. A notice with an action stays a little longer. */
export function say(text: string, action: Notice["action"] = null, bad = false): void {
  const notice: Notice = { id: ++last, text, bad, action };
  const others = notices.value.filter((one) => one.text !== text);
  notices.value = [...others.slice(-2), notice];
  setTimeout(() => dismiss(notice.id), (action || bad ? 2 : 1) * SECONDS * 1000);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((one) => one.id !== id);
}

/** Say what went wrong. Errors that are no answer of the API are faults of the page: they go to the console too. */
export function fail(error: unknown): void {
  if (error instanceof ApiError) {
    if (error.status !== 401) say(error.message, null, true);
    return;
  }
  console.error(error);
  say("Something went wrong on this page. Reload it.", { label: "Reload", run: () => location.reload() }, true);
}

/** A change that can be undone, as the API's answers name it. */
export interface Undo {
  token: string;
}

/** The changes of this page that can be undone, the last one at the end. `Z` undoes it. */
export const undoable = signal<{ token: string; text: string; after: () => void }[]>([]);

/** Say that something was changed, and offer to undo it; `after` is called once that is done. */
export function changed(text: string, undo: Undo | null | undefined, after: () => void): void {
  if (!undo) {
    say(text);
    return;
  }
  undoable.value = [...undoable.value.slice(-49), { token: undo.token, text, after }];
  say(text, { label: "Undo", run: () => void takeBack(undo.token) });
}

/** Undo a change; without a token, the last one. */
export async function takeBack(token?: string): Promise<void> {
  const entry = token === undefined ? undoable.value.at(-1) : undoable.value.find((one) => one.token === token);
  if (!entry) return;
  undoable.value = undoable.value.filter((one) => one !== entry);
  try {
    const done = await call<{ undone: number; kept: string[] }>("POST", `/v1/undo/${encodeURIComponent(entry.token)}`);
    say(done.kept.length ? `Undone for ${done.undone}; ${done.kept.length} were changed since and stay.` : `Undone: ${entry.text}`);
    entry.after();
  } catch (error) {
    fail(error);
  }
}
