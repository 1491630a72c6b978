// What is chosen: one selection for all pages, of ids or of a whole question.
import { computed, signal } from "@preact/signals";
import type { Ask } from "./ask";
import { bodyOf } from "./ask";
import type { Ids } from "./row-ids";

/** Images by id, or all images of a question ("all 12,400 of this query"): `total` is how many those are. */
export type Selection =
  | { kind: "ids"; ids: Ids }
  | { kind: "query"; ask: Ask; total: number };

const NOTHING: Selection = { kind: "ids", ids: new Set() };
export const selection = signal<Selection>(NOTHING);
export const chosenCount = computed(() => (selection.value.kind === "ids" ? selection.value.ids.size : selection.value.total));

export function isChosen(id: string): boolean {
  const now = selection.value;
  return now.kind === "query" || now.ids.has(id);
}

/** Choose these as well, or no longer. A selection by question becomes one of these ids. */
export function choose(ids: Iterable<string>, chosen = true): void {
  const next = new Set(selection.value.kind === "ids" ? selection.value.ids : []);
  for (const id of ids) {
    if (chosen) next.add(id);
    else next.delete(id);
  }
  selection.value = { kind: "ids", ids: next };
}

/** Choose these and no others. */
export function chooseOnly(ids: Ids): void {
  selection.value = { kind: "ids", ids };
}

export function toggle(id: string): void {
  choose([id], !(selection.value.kind === "ids" && selection.value.ids.has(id)));
}

export function chooseAll(ask: Ask, total: number): void {
  selection.value = { kind: "query", ask, total };
}

export function clearSelection(): void {
  selection.value = NOTHING;
}

/** Return the part of a batch request that says which images it is about. */
export function targetOf(now: Selection): { ids: string[] } | { query: Record<string, unknown> } {
  return now.kind === "ids" ? { ids: [...now.ids] } : { query: bodyOf(now.ask) };
}
