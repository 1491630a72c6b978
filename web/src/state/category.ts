// The category that is looked at: its fields, encoders and counts, read once and again after changes.
import { computed, effect, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { call, isAbort, Latest, pathOf, session } from "../api/client";
import { fail } from "./notices";
import { route } from "./route";

export type Category = Schemas["CategoryOut"];

export const category = signal<Category | null>(null);
export const categoryName = computed(() => route.value.category);
const latest = new Latest();

/** Read the category anew; pages call it after they have changed how many images or fields there are. */
export async function readCategory(name: string): Promise<void> {
  try {
    category.value = await latest.run((signal) => call<Category>("GET", pathOf(name), { signal }));
  } catch (error) {
    if (isAbort(error)) return;
    category.value = null;
    fail(error);
  }
}

/** Keep `category` to the one in the address, once a key was given where one is needed. */
export function followCategory(): void {
  effect(() => {
    const name = categoryName.value;
    const asked = session.value.needed && session.value.scope === null;
    if (name === null || asked) category.value = null;
    else if (category.peek()?.name !== name) void readCategory(name);
  });
}
