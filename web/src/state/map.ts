// The map that is looked at: its points and colours, what a filter leaves, and what is chosen on it.
import { computed, effect, signal } from "@preact/signals";
import { call, isAbort, Latest, pathOf } from "../api/client";
import type { Column } from "../api/columns";
import { readColumns, readIds, readMask } from "../api/columns";
import type { Schemas } from "../api/client";
import type { Colouring } from "../map/colours";
import { colouring } from "../map/colours";
import { askOf, bodyOf, isSearch } from "./ask";
import { category } from "./category";
import { fail } from "./notices";
import { categoryOn, route } from "./route";
import { isDark } from "./theme";
import { short } from "./words";

export type MapInfo = Schemas["MapOut"];

export interface Points {
  key: string;
  rows: number;
  x: Float32Array;
  y: Float32Array;
}

/** Maps of the category; null until they are known. */
export const maps = signal<MapInfo[] | null>(null);
export const points = signal<Points | null>(null);
/** 16 bytes of each row, rising. They are larger than all else and nothing is drawn by them: they come after the points. */
export const pointIds = signal<Uint8Array | null>(null);
/** The column that colours the points, as it came. */
export const column = signal<Column | null>(null);
/** 1 for each row that the conditions leave out; null: none are. */
export const dimmed = signal<Uint8Array | null>(null);

/** The address holds which map, the field that colours it (`by`), and where it is looked at (`view`). */
export const mapName = computed(() => route.value.rest[0] ?? maps.value?.[0]?.name ?? null);
export const by = computed(() => route.value.query.get("by") ?? "class");
export const ask = computed(() => {
  const query = new URLSearchParams(route.value.query);
  for (const own of ["by", "view", "lit"]) query.delete(own);
  return askOf(query);
});
export const lit = computed(() => route.value.query.get("lit"));
export const colours = computed<Colouring>(() => colouring(column.value, points.value?.rows ?? 0, isDark.value));

/** A value of a column of numbers, as people read it. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return "none";
  const date = category.value?.indexes[by.value] === "datetime";
  return date ? new Date(value * 1000).toISOString().slice(0, 10) : short(value);
}

const latest = new Latest();
const latestColumn = new Latest();
const latestMask = new Latest();

/** Keep the signals above to the address while the map is shown; returns what ends that. */
export function followMap(): () => void {
  const name = computed(() => categoryOn("map"));
  const askKey = computed(() => JSON.stringify(ask.value));
  const ends = [
    effect(() => void (name.value && readMaps(name.value))),
    effect(() => void (name.value && mapName.value && readPoints(name.value, mapName.value))),
    effect(() => void (name.value && points.value && readColour(name.value, by.value))),
    effect(() => void (name.value && points.value && askKey.value && readDimmed(name.value))),
  ];
  return () => {
    ends.forEach((end) => end());
    [latest, latestColumn, latestMask].forEach((one) => one.stop());
    points.value = null;
    pointIds.value = null;
    maps.value = null;
  };
}

async function readMaps(category: string): Promise<void> {
  try {
    maps.value = (await call<Schemas["MapsOut"]>("GET", pathOf(category, "maps"))).maps;
  } catch (error) {
    maps.value = [];
    fail(error);
  }
}

async function readPoints(category: string, name: string): Promise<void> {
  const key = `${category}/${name}`;
  if (points.peek()?.key === key) return;
  try {
    await latest.run(async (signal) => {
      const columns = await readColumns(category, [`map.${name}`], signal);
      const coordinate = (axis: string) => columns.columns.get(`map.${name}.${axis}`)!.data as Float32Array;
      pointIds.value = null;
      points.value = { key, rows: columns.rows, x: coordinate("x"), y: coordinate("y") };
      pointIds.value = await readIds(category, signal);
    });
  } catch (error) {
    if (!isAbort(error)) fail(error);
  }
}

async function readColour(category: string, field: string): Promise<void> {
  try {
    const columns = await latestColumn.run((signal) => readColumns(category, [field], signal));
    column.value = columns.columns.get(field) ?? null;
  } catch (error) {
    if (isAbort(error)) return;
    column.value = null;
    fail(error);
  }
}

async function readDimmed(category: string): Promise<void> {
  const asked = ask.peek();
  if (!isSearch(asked) && Object.keys(asked.conditions).length === 0) {
    dimmed.value = null;
    return;
  }
  try {
    const { mask } = await latestMask.run((signal) => readMask(category, bodyOf({ ...asked, sort: null }), signal));
    const rows = points.peek()!.rows;
    dimmed.value = Uint8Array.from({ length: rows }, (_, row) => (mask[row >> 3]! & (1 << (row & 7)) ? 0 : 1));
  } catch (error) {
    if (!isAbort(error)) fail(error);
  }
}
