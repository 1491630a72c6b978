// The tags of a category, its taggers, and the one tag that is looked at.
import { computed, effect, signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { call, isAbort, Latest, pathOf } from "../api/client";
import { fail } from "./notices";
import { categoryOn, route } from "./route";
import type { GridHit } from "./source";
import type { Bin, Summary } from "./summary";

export type Tagger = Schemas["TaggerOut"];

export interface TagLine {
  tag: string;
  count: number;
  proposed: number;
  tagger: Tagger | null;
}

export const lines = signal<TagLine[] | null>(null);
/** The tag in the address. */
export const tag = computed(() => route.value.rest[0] ?? null);
export const tagger = signal<Tagger | null>(null);
/** Images by score of the tagger. */
export const scores = signal<Bin[]>([]);
/** The range of scores that is looked at, in the address. */
export const range = computed<[number, number]>(() => {
  const number = (name: string, otherwise: number) => {
    const value = Number(route.value.query.get(name) ?? NaN);
    return Number.isFinite(value) ? value : otherwise;
  };
  return [number("from", 0), number("to", 1)];
});
/** Images in the range, the highest scores first. */
export const inRange = signal<{ hits: GridHit[]; total: number }>({ hits: [], total: 0 });

const SHOWN = 48;
const BINS = 40;
const latest = new Latest();
const latestRange = new Latest();

export async function readTags(category: string): Promise<void> {
  try {
    const count = { facets: [{ field: "tags", limit: 1000 }] };
    const [said, listed, fields] = await Promise.all([
      call<Summary>("POST", pathOf(category, "summary"), { json: count }),
      call<Schemas["TaggersOut"]>("GET", pathOf(category, "taggers")),
      call<Schemas["CategoryOut"]>("GET", pathOf(category)),
    ]);
    const proposed = "machine_tags" in fields.indexes
      ? (await call<Summary>("POST", pathOf(category, "summary"), { json: { facets: [{ field: "machine_tags", limit: 1000 }] } })).facets[0]!.values
      : [];
    const found = new Map<string, TagLine>();
    const line = (name: string) => {
      const one = found.get(name) ?? { tag: name, count: 0, proposed: 0, tagger: null };
      found.set(name, one);
      return one;
    };
    for (const value of said.facets[0]!.values) line(String(value.value)).count = value.count;
    for (const value of proposed) line(String(value.value)).proposed = value.count;
    for (const one of listed.taggers) line(one.tag).tagger = one;
    lines.value = [...found.values()].sort((a, b) => b.count - a.count || a.tag.localeCompare(b.tag));
  } catch (error) {
    lines.value = [];
    fail(error);
  }
}

/** Keep the signals above to the address while the page is shown; returns what ends that. */
export function followTags(): () => void {
  const category = computed(() => categoryOn("tags"));
  const ends = [
    effect(() => void (category.value && readTags(category.value))),
    effect(() => {
      const [name, one, all] = [category.value, tag.value, lines.value];
      const known = all?.find((line) => line.tag === one)?.tagger ?? null;
      tagger.value = known;
      if (name !== null && known !== null) void readTagger(name, known);
    }),
    effect(() => {
      const [name, known, span] = [category.value, tagger.value, range.value];
      if (name !== null && known !== null) void readRange(name, known.field, span);
    }),
  ];
  return () => {
    ends.forEach((end) => end());
    latest.stop();
    latestRange.stop();
    lines.value = null;
    tagger.value = null;
  };
}

async function readTagger(category: string, known: Tagger): Promise<void> {
  try {
    await latest.run(async (signal) => {
      const histogram = { histograms: [{ field: known.field, bins: BINS, lower: 0, upper: 1 }] };
      const [detail, counted] = await Promise.all([
        call<Tagger>("GET", pathOf(category, "taggers", known.tag), { signal }),
        call<Summary>("POST", pathOf(category, "summary"), { json: histogram, signal }),
      ]);
      if (tagger.peek()?.tag === known.tag && tagger.peek()?.trained_at === known.trained_at) tagger.value = detail;
      scores.value = counted.histograms[0]!.bins;
    });
  } catch (error) {
    if (!isAbort(error)) fail(error);
  }
}

async function readRange(category: string, field: string, [from, to]: [number, number]): Promise<void> {
  const json = {
    filter: { where: { must: [{ key: field, range: { gte: from, lte: to } }] } },
    order_by: { field, descending: true },
    fields: ["width", "height", "colour", "tags"],
    limit: SHOWN,
    total: true,
  };
  try {
    const answer = await latestRange.run((signal) => call<{ hits: GridHit[]; total: number }>("POST", pathOf(category, "search"), { json, signal }));
    inRange.value = { hits: answer.hits, total: answer.total };
  } catch (error) {
    if (!isAbort(error)) fail(error);
  }
}
