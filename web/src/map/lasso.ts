// Which points lie inside a drawn line.

/**
 * Return the rows inside a closed line: `line` has x, y, x, y ... A point is inside where a ray from it crosses
 * the line an odd number of times (the even-odd rule). Rows with `hidden[row]` are left out.
 */
export function inside(x: Float32Array, y: Float32Array, line: Float32Array, hidden: Uint8Array | null): Uint32Array {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let at = 0; at < line.length; at += 2) {
    left = Math.min(left, line[at]!);
    right = Math.max(right, line[at]!);
    bottom = Math.min(bottom, line[at + 1]!);
    top = Math.max(top, line[at + 1]!);
  }
  const bands = bandsOf(line, bottom, top);
  const found = new Uint32Array(x.length);
  let count = 0;
  for (let row = 0; row < x.length; row += 1) {
    const px = x[row]!;
    const py = y[row]!;
    if (!(px >= left && px <= right && py >= bottom && py <= top)) continue;
    if (hidden !== null && hidden[row]) continue;
    if (isInside(line, bands, px, py)) found[count++] = row;
  }
  return found.slice(0, count);
}

interface Bands {
  bottom: number;
  height: number;
  edges: Uint32Array[];
}

const BANDS = 128;

/** Sort the edges of the line into bands of height, so that a point is compared with those at its height. */
function bandsOf(line: Float32Array, bottom: number, top: number): Bands {
  const height = Math.max(1e-12, (top - bottom) / BANDS);
  const lists: number[][] = Array.from({ length: BANDS }, () => []);
  const count = line.length / 2;
  for (let edge = 0; edge < count; edge += 1) {
    const y1 = line[edge * 2 + 1]!;
    const y2 = line[((edge + 1) % count) * 2 + 1]!;
    const from = bandOf(Math.min(y1, y2), bottom, height);
    const to = bandOf(Math.max(y1, y2), bottom, height);
    for (let band = from; band <= to; band += 1) lists[band]!.push(edge);
  }
  return { bottom, height, edges: lists.map((list) => Uint32Array.from(list)) };
}

function bandOf(y: number, bottom: number, height: number): number {
  return Math.min(BANDS - 1, Math.max(0, Math.floor((y - bottom) / height)));
}

function isInside(line: Float32Array, bands: Bands, x: number, y: number): boolean {
  const count = line.length / 2;
  const edges = bands.edges[bandOf(y, bands.bottom, bands.height)]!;
  let odd = false;
  for (let at = 0; at < edges.length; at += 1) {
    const edge = edges[at]!;
    const next = edge + 1 === count ? 0 : edge + 1;
    const y1 = line[edge * 2 + 1]!;
    const y2 = line[next * 2 + 1]!;
    if (y1 > y === y2 > y) continue;
    const x1 = line[edge * 2]!;
    if (x < ((line[next * 2]! - x1) * (y - y1)) / (y2 - y1) + x1) odd = !odd;
  }
  return odd;
}
