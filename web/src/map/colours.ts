// The colours of a map: ten for values, grey for the rest, a ramp for numbers.
import type { Column } from "../api/columns";
import { COLOURS } from "./gl";

type Theme = "light" | "dark";
const VALUES: Record<Theme, string[]> = {
  light: ["#5a8ed1", "#4f9c62", "#c07a3b", "#be6566", "#b56fae", "#1f9a9a", "#a8903a", "#7f7bc8", "#a45631", "#cf6f9c"],
  dark: ["#79b1f9", "#79ca8b", "#efa464", "#e68485", "#e69edf", "#3bcfcf", "#d9c060", "#a09cf0", "#cb764e", "#ffa7d2"],
};
const REST: Record<Theme, string> = { light: "#b3ada3", dark: "#5d5850" };
const RAMP: Record<Theme, string[]> = { light: ["#d9d3c9", "#c07a3b", "#7a2313"], dark: ["#3a3630", "#c98a4b", "#ffe3b0"] };

/** How a column is coloured: `codes` are places in `palette`; `legend` says what they mean. */
export interface Colouring {
  codes: Uint8Array;
  palette: Float32Array;
  legend: { value: string; colour: string; code: number; count: number }[];
  /** Of a number: its least and greatest value. */
  range: [number, number] | null;
}

/** Return the colours of a column's values; all alike where there is no column. */
export function colouring(column: Column | null, rows: number, dark: boolean): Colouring {
  const theme = dark ? "dark" : "light";
  if (column === null) return { codes: new Uint8Array(rows), palette: floats([VALUES[theme][0]!]), legend: [], range: null };
  return column.values === null ? byNumber(column, rows, theme) : byValue(column, column.values, rows, theme);
}

function byValue(column: Column, values: string[], rows: number, theme: Theme): Colouring {
  const colours = [REST[theme], ...VALUES[theme]];
  const counts = new Uint32Array(values.length + 1);
  const codes = new Uint8Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const code = column.data[row]!;
    counts[code]! += 1;
    codes[row] = code <= VALUES[theme].length ? code : 0;
  }
  const legend = values
    .slice(0, VALUES[theme].length)
    .map((value, at) => ({ value, colour: colours[at + 1]!, code: at + 1, count: counts[at + 1]! }));
  return { codes, palette: floats(colours), legend, range: null };
}

function byNumber(column: Column, rows: number, theme: Theme): Colouring {
  let [least, greatest] = [Infinity, -Infinity];
  for (let row = 0; row < rows; row += 1) {
    const value = column.data[row]!;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  const steps = COLOURS - 1;
  const span = greatest - least || 1;
  const codes = new Uint8Array(rows);
  for (let row = 0; row < rows; row += 1) {
    const value = column.data[row]!;
    codes[row] = Number.isNaN(value) ? 0 : 1 + Math.min(steps - 1, Math.floor(((value - least) / span) * steps));
  }
  const ramp = Array.from({ length: steps }, (_, at) => between(RAMP[theme], at / (steps - 1)));
  const range: [number, number] | null = least <= greatest ? [least, greatest] : null;
  return { codes, palette: floats([REST[theme], ...ramp]), legend: [], range };
}

/** The ramp as a CSS gradient, for the legend. */
export function rampOf(dark: boolean): string {
  return `linear-gradient(90deg, ${RAMP[dark ? "dark" : "light"].join(", ")})`;
}

function between(stops: string[], share: number): string {
  const at = Math.min(stops.length - 2, Math.floor(share * (stops.length - 1)));
  const part = share * (stops.length - 1) - at;
  const [a, b] = [rgb(stops[at]!), rgb(stops[at + 1]!)];
  const mixed = a.map((value, one) => Math.round((value + (b[one]! - value) * part) * 255));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

function floats(colours: string[]): Float32Array {
  return Float32Array.from(colours.flatMap(rgb));
}

function rgb(colour: string): number[] {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255);
}
