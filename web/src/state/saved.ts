// Searches that people gave a name.
import { signal } from "@preact/signals";
import { call, pathOf } from "../api/client";
import { bodyOf, queryOf } from "./ask";
import { fail, say } from "./notices";
import { ask } from "./results";

/** `view`: the question as this page's address holds it. */
export interface Saved {
  name: string;
  view: string;
}

export const saved = signal<Saved[]>([]);

export async function readSaved(category: string): Promise<void> {
  try {
    saved.value = (await call<{ saved: Saved[] }>("GET", pathOf(category, "saved"))).saved;
  } catch (error) {
    saved.value = [];
    fail(error);
  }
}

export async function save(category: string, name: string): Promise<void> {
  const now = ask.peek();
  try {
    await call("PUT", pathOf(category, "saved", name), { json: { query: bodyOf(now), view: queryOf(now) } });
    say(`Saved as ${name}.`);
    await readSaved(category);
  } catch (error) {
    fail(error);
  }
}

export async function forget(category: string, one: Saved): Promise<void> {
  try {
    await call("DELETE", pathOf(category, "saved", one.name));
    await readSaved(category);
    say(`Forgot ${one.name}.`);
  } catch (error) {
    fail(error);
  }
}
