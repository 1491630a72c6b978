// Rows of pictures of one height each that fill the width, as in a printed catalogue.

/** Where every picture is. Row r holds the pictures first[r] to first[r + 1] - 1, from tops[r] down. */
export interface Layout {
  width: number;
  gap: number;
  rows: number;
  first: Uint32Array;
  tops: Float64Array;
  heights: Float32Array;
  lefts: Float32Array;
  widths: Float32Array;
  height: number;
}

const NARROWEST = 0.4;
const WIDEST = 3;

/**
 * Lay pictures out by their aspect ratios (width / height). `target` is the height in pixels that rows should
 * have; a row ends where its height comes nearest to that. The last row is not stretched. Very narrow and very
 * wide pictures get a box of 0.4 or 3 and are cut by it.
 */
export function justify(aspects: Float32Array, width: number, target: number, gap: number): Layout {
  const count = aspects.length;
  const lefts = new Float32Array(count);
  const widths = new Float32Array(count);
  const first: number[] = [0];
  const tops: number[] = [];
  const heights: number[] = [];
  let top = 0;
  let start = 0;
  let sum = 0;
  for (let at = 0; at <= count; at += 1) {
    const aspect = at < count ? Math.min(WIDEST, Math.max(NARROWEST, aspects[at]! || 1)) : 0;
    const inRow = at - start;
    const before = inRow ? (width - gap * (inRow - 1)) / sum : Infinity;
    const after = at < count ? (width - gap * inRow) / (sum + aspect) : 0;
    // close the row before this picture where it is nearer to the target without it
    const full = inRow > 0 && after < target && Math.abs(before - target) <= Math.abs(after - target);
    if (at === count || full) {
      if (inRow === 0) break;
      const height = at === count ? Math.min(before, target) : before;
      let left = 0;
      for (let one = start; one < at; one += 1) {
        const wide = Math.min(WIDEST, Math.max(NARROWEST, aspects[one]! || 1)) * height;
        lefts[one] = left;
        widths[one] = wide;
        left += wide + gap;
      }
      tops.push(top);
      heights.push(height);
      first.push(at);
      top += height + gap;
      start = at;
      sum = 0;
    }
    sum += aspect;
  }
  return {
    width,
    gap,
    rows: tops.length,
    first: Uint32Array.from(first),
    tops: Float64Array.from(tops),
    heights: Float32Array.from(heights),
    lefts,
    widths,
    height: Math.max(0, top - gap),
  };
}

/** Return the row at this height of the layout: the last one that begins at or above it. */
export function rowAt(layout: Layout, y: number): number {
  let low = 0;
  let high = layout.rows - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layout.tops[middle]! <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Return the row that a picture is in. */
export function rowOf(layout: Layout, at: number): number {
  let low = 0;
  let high = layout.rows - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (layout.first[middle]! <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Return the picture of a neighbouring row whose middle is nearest to that of this one; itself at the edges. */
export function beside(layout: Layout, at: number, step: -1 | 1): number {
  const row = rowOf(layout, at) + step;
  if (row < 0 || row >= layout.rows) return at;
  const middle = layout.lefts[at]! + layout.widths[at]! / 2;
  let best = layout.first[row]!;
  let distance = Infinity;
  for (let one = layout.first[row]!; one < layout.first[row + 1]!; one += 1) {
    const off = Math.abs(layout.lefts[one]! + layout.widths[one]! / 2 - middle);
    if (off < distance) {
      distance = off;
      best = one;
    }
  }
  return best;
}
