// The answer to the question in the address: what the grid shows.
import { computed, effect, signal } from "@preact/signals";
import type { ApiError } from "../api/client";
import { call, isAbort, Latest, pathOf } from "../api/client";
import type { Columns } from "../api/columns";
import { readListed } from "../api/listed";
import type { Ask } from "./ask";
import { askOf, bodyOf, isSearch, queryOf } from "./ask";
import { fail } from "./notices";
import { untilPainted } from "./painted";
import { address, go, route } from "./route";
import type { GridHit, GridSource } from "./source";
import { ColumnSource, GRID_FIELDS, HitSource, NO_PICTURES } from "./source";

const FIRST = 100; // hits of the first answer: what a screen shows
const MOST = 10_000; // the API returns no more hits of a search

/** The question in the address of this page. */
export const ask = computed(() => askOf(route.value.query));
export const results = signal<GridSource>(NO_PICTURES);
/** How many images the whole question has; null while that is not known. */
export const total = signal<number | null>(null);
export const searching = signal(false);
export const tookMs = signal<number | null>(null);
/** Why there is no answer. */
export const refused = signal<ApiError | Error | null>(null);

const latest = new Latest();
const renewed = signal(0);

interface Answer {
  hits: GridHit[];
  total: number | null;
  /** By id, how many near-duplicates of a hit were left out. */
  similar?: Record<string, number> | null;
  timing: { total_ms: number };
}

/** Ask another question on this page; `replace` for changes that Back should pass over. */
export function askFor(next: Ask, replace = false): void {
  const { page, category, rest } = route.value;
  const to = page === "image" ? "search" : page;
  go(address(to, category, to === page ? rest : [], queryOf(next)), replace);
}

/** Ask the same question again, since images were changed. */
export function renew(): void {
  renewed.value += 1;
}

/** Keep `results` to the question in the address while the search page is shown; returns what ends that. */
export function followResults(): () => void {
  const key = computed(() => {
    const { category, page } = route.value;
    return category !== null && (page === "search" || page === "image") ? `${category}?${queryOf(ask.value)}` : null;
  });
  const end = effect(() => {
    renewed.value;
    const now = key.value;
    if (now !== null) void load(route.peek().category!, ask.peek(), now);
  });
  return () => {
    end();
    latest.stop();
  };
}

async function load(category: string, asked: Ask, key: string): Promise<void> {
  searching.value = true;
  try {
    await latest.run((signal) => (isSearch(asked) ? search(category, asked, key, signal) : list(category, asked, key, signal)));
    refused.value = null;
    searching.value = false;
  } catch (error) {
    if (isAbort(error)) return;
    searching.value = false;
    results.value = NO_PICTURES;
    total.value = null;
    refused.value = error as Error;
    fail(error);
  }
}

async function search(category: string, asked: Ask, key: string, signal: AbortSignal): Promise<void> {
  const path = pathOf(category, "search");
  const question = { ...bodyOf(asked), fields: GRID_FIELDS };
  const first = await call<Answer>("POST", path, { json: { ...question, limit: FIRST, total: true }, signal });
  results.value = new HitSource(key, first.hits, first.similar ?? {});
  total.value = first.total ?? first.hits.length;
  tookMs.value = first.timing.total_ms;
  searching.value = false;
  if (first.hits.length < FIRST) return;
  await untilPainted(key);
  const rest = await call<Answer>("POST", path, { json: { ...question, offset: FIRST, limit: MOST - FIRST }, signal });
  results.value = new HitSource(key, [...first.hits, ...rest.hits], { ...first.similar, ...rest.similar });
  total.value = first.total ?? first.hits.length + rest.hits.length;
}

async function list(category: string, asked: Ask, key: string, signal: AbortSignal): Promise<void> {
  const started = performance.now();
  const field = asked.sort?.replace(/^-/, "") ?? null;
  const fields = ["aspect", "colour", ...(field === null ? [] : [field])];
  const filtered = Object.keys(asked.conditions).length > 0;
  const question = filtered ? bodyOf({ ...asked, sort: null }) : null;
  const { columns, ids, rows: found } = await readListed(category, fields, question, signal);
  const rows = field === null ? found : sorted(found, columns, field, asked.sort!.startsWith("-"));
  const aspects = columns.columns.get("aspect")!.data as Float32Array;
  const colours = (columns.columns.get("colour")?.data as Uint8Array | undefined) ?? null;
  results.value = new ColumnSource(key, rows, ids, aspects, colours);
  total.value = rows.length;
  tookMs.value = performance.now() - started;
}

/** Return the rows in order of a number; rows without it come last. */
function sorted(rows: Uint32Array, columns: Columns, field: string, descending: boolean): Uint32Array {
  const values = columns.columns.get(field)?.data;
  if (values === undefined) return rows;
  const way = descending ? -1 : 1;
  return rows.toSorted((a, b) => {
    const [x, y] = [values[a]!, values[b]!];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a - b;
    return way * (x - y) || a - b;
  });
}
