// Where names and pictures are shown on the map: as many as there is room for, the largest groups first.
import type { Size, View } from "./view";
import { toScreen } from "./view";

export interface Label {
  text: string;
  /** The medians of the coordinates of the points with this value. */
  x: number;
  y: number;
  count: number;
}

const SAMPLE = 60_000; // points whose medians are good enough

/** Return where each value's name belongs, the most frequent value first. Code i is values[i - 1]; higher codes
 * are values without a name. */
export function labelsOf(x: Float32Array, y: Float32Array, codes: ArrayLike<number>, values: string[]): Label[] {
  const xs: number[][] = values.map(() => []);
  const ys: number[][] = values.map(() => []);
  const step = Math.max(1, Math.floor(x.length / SAMPLE));
  for (let row = 0; row < x.length; row += step) {
    const code = codes[row]!;
    if (code === 0 || code > values.length || Number.isNaN(x[row]!)) continue;
    xs[code - 1]!.push(x[row]!);
    ys[code - 1]!.push(y[row]!);
  }
  return values
    .map((text, at) => ({ text, x: median(xs[at]!), y: median(ys[at]!), count: xs[at]!.length }))
    .filter((label) => label.count > 0)
    .sort((a, b) => b.count - a.count);
}

/** A box on the screen, in CSS pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Return the labels that fit, the largest group first; none covers another. */
export function placed(labels: Label[], view: View, size: Size, most: number): { label: Label; box: Box }[] {
  const found: { label: Label; box: Box }[] = [];
  for (const label of labels) {
    const [x, y] = toScreen(view, size, label.x, label.y);
    const width = label.text.length * 9.5 + 12;
    const box = { left: x - width / 2, top: y - 14, width, height: 28 };
    const seen = box.left > 0 && box.top > 0 && x + width / 2 < size.width && y + 14 < size.height;
    if (seen && !found.some((other) => overlap(other.box, box))) found.push({ label, box });
    if (found.length === most) break;
  }
  return found;
}

export interface Sprite {
  row: number;
  left: number;
  top: number;
}

/**
 * Return rows whose pictures are shown, with their places: at most one in each cell of the screen, and none
 * over a box that is taken. Points are tried in one order, so that a picture stays while the map moves.
 */
export function spritesOf(
  points: { x: Float32Array; y: Float32Array; order: Uint32Array },
  view: View,
  size: Size,
  side: number,
  taken: Box[],
  wanted: (row: number) => boolean,
): Sprite[] {
  const found: Sprite[] = [];
  const tried = Math.min(points.order.length, 40_000);
  for (let at = 0; at < tried && found.length < 60; at += 1) {
    const row = points.order[at]!;
    if (Number.isNaN(points.x[row]!) || !wanted(row)) continue;
    const [left, top] = toScreen(view, size, points.x[row]!, points.y[row]!);
    if (left < side || top < side || left > size.width - side || top > size.height - side) continue;
    const box = { left: left - side / 2, top: top - side / 2, width: side, height: side };
    if (taken.some((other) => overlap(other, box))) continue;
    const apart = side * 1.9;
    if (found.some((other) => Math.abs(other.left - left) < apart && Math.abs(other.top - top) < apart)) continue;
    found.push({ row, left, top });
  }
  return found;
}

function overlap(a: Box, b: Box): boolean {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
}

function median(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[values.length >> 1] ?? 0;
}
