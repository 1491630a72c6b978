// The counts beside the pictures: total, facets and histograms of the whole question, in one request.
import { computed, effect, signal } from "@preact/signals";
import { call, isAbort, Latest, pathOf } from "../api/client";
import { bodyOf, CLUSTER, isSearch, queryOf } from "./ask";
import type { Category } from "./category";
import { category, categoryName } from "./category";
import { fail } from "./notices";
import { untilPainted } from "./painted";
import { ask } from "./results";
import { route } from "./route";

export interface Facet {
  field: string;
  values: { value: string | number | boolean; count: number }[];
  more: boolean;
  missing: number;
}
export interface Bin {
  lower: number;
  upper: number;
  count: number;
}
export interface Histogram {
  field: string;
  bins: Bin[];
  missing: number;
}
export interface Summary {
  total: number;
  facets: Facet[];
  histograms: Histogram[];
  similarity: { bins: Bin[] } | null;
}

export const summary = signal<Summary | null>(null);

/** A field that can be counted or bounded, under the name that conditions have for it. */
export interface FieldChoice {
  field: string;
  title: string;
  kind: "values" | "numbers";
}

const FIRST = ["class", "tags"];
const LATER = ["machine_tags", "media_type", "duplicate_group"];
const NUMBERS = ["bytes", "width", "height", "quality"];
const SHOWN = 8; // sections before a person asks for more
const VALUES = 12;
const BINS = 32;

/** All that this category can be narrowed down by, what is most useful first. */
export const choices = computed<FieldChoice[]>(() => (category.value === null ? [] : choicesOf(category.value, runs.value ?? [])));

/** Names of the category's cluster runs; null until they are read. */
export const runs = signal<string[] | null>(null);

export function choicesOf(one: Category, runNames: string[]): FieldChoice[] {
  const kinds = one.indexes;
  const has = (field: string) => field in kinds;
  const columns = Object.keys(kinds).filter((field) => field.startsWith("metadata."));
  const scores = Object.keys(kinds).filter((field) => field.startsWith("scores."));
  const values = (field: string): FieldChoice => ({ field, title: titleOf(field), kind: "values" });
  const numbers = (field: string): FieldChoice => ({ field, title: titleOf(field), kind: "numbers" });
  const counted = (field: string) => ["keyword", "integer", "bool"].includes(kinds[field]!);
  return [
    ...FIRST.filter(has).map(values),
    ...runNames.map((run) => values(`${CLUSTER}${run}`)),
    ...columns.filter((field) => counted(field) && kinds[field] !== "integer").map(values),
    ...columns.filter((field) => ["integer", "float"].includes(kinds[field]!)).map(numbers),
    ...NUMBERS.filter(has).map(numbers),
    ...LATER.filter(has).map(values),
    ...scores.map(numbers),
  ];
}

/** `metadata."EXIF:ISO"` is shown as EXIF:ISO, `cluster.look` as look. */
export function titleOf(field: string): string {
  const bare = field.replace(/^(metadata|scores|cluster)\./, "").replace(/^"(.*)"$/, "$1");
  const words = bare.replaceAll("_", " ");
  return field === "bytes" ? "File size" : words.charAt(0).toUpperCase() + words.slice(1);
}

const PLACE = "vitrine-facets:";

/** The fields that a person looks at in a category; null until one was opened or closed. */
export const opened = signal<string[] | null>(null);

export function shownChoices(all: FieldChoice[], chosen: string[] | null): FieldChoice[] {
  if (chosen !== null) return all.filter((one) => chosen.includes(one.field));
  return all.filter((one) => !LATER.includes(one.field) && !one.field.startsWith("scores.")).slice(0, SHOWN);
}

export function open(field: string, shown: boolean): void {
  const now = shownChoices(choices.value, opened.value).map((one) => one.field);
  opened.value = shown ? [...now, field] : now.filter((one) => one !== field);
  localStorage.setItem(PLACE + route.value.category, JSON.stringify(opened.value));
}

function remembered(name: string): string[] | null {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(PLACE + name) ?? "null");
    return Array.isArray(found) ? found.map(String) : null;
  } catch {
    return null;
  }
}

/** How many values of a field are asked for; more once a person wants them. */
export const limits = signal<Record<string, number>>({});
const latest = new Latest();
const renewed = signal(0);

/** Count again, since images were changed. */
export function renewSummary(): void {
  renewed.value += 1;
}

/** Keep `summary` to the question in the address while the search page is shown; returns what ends that. */
export function followSummary(): () => void {
  const stopCategory = effect(() => {
    const name = categoryName.value;
    if (name === null) return;
    opened.value = remembered(name);
    limits.value = {};
    runs.value = null;
    void readRuns(name);
  });
  const wanted = computed(() => {
    const { category: name } = route.value;
    // counted once all fields are known: one that came later would push those below it down
    if (name === null || category.value?.name !== name || runs.value === null) return null;
    const shown = shownChoices(choices.value, opened.value);
    return { name, key: JSON.stringify([name, queryOf(ask.value), shown, limits.value, renewed.value]), shown };
  });
  const key = computed(() => wanted.value?.key ?? null);
  const stop = effect(() => {
    if (key.value !== null) void load(wanted.peek()!.name, wanted.peek()!.shown);
  });
  return () => {
    stopCategory();
    stop();
    latest.stop();
  };
}

async function readRuns(name: string): Promise<void> {
  try {
    const answer = await call<{ runs: { run: string }[] }>("GET", pathOf(name, "clusters"));
    runs.value = answer.runs.map((one) => one.run);
  } catch (error) {
    runs.value = [];
    fail(error);
  }
}

async function load(name: string, shown: FieldChoice[]): Promise<void> {
  const body: Record<string, unknown> = {
    ...bodyOf({ ...ask.peek(), sort: null }),
    facets: shown.filter((one) => one.kind === "values").map((one) => ({ field: one.field, limit: limits.peek()[one.field] ?? VALUES })),
    histograms: shown.filter((one) => one.kind === "numbers").map((one) => ({ field: one.field, bins: BINS })),
  };
  if (isSearch(ask.peek())) body["similarity_bins"] = BINS;
  try {
    summary.value = await latest.run(async (signal) => {
      await untilPainted(`${name}?${queryOf(ask.peek())}`);
      return call<Summary>("POST", pathOf(name, "summary"), { json: body, signal });
    });
  } catch (error) {
    if (!isAbort(error)) fail(error);
  }
}
