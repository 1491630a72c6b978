import assert from "node:assert/strict";
import { test } from "node:test";
import { shuffled } from "../src/map/gl";
import { inside } from "../src/map/lasso";
import { Cells } from "../src/map/picking";
import { labelsOf, placed, spritesOf } from "../src/map/places";
import { RowIds } from "../src/state/row-ids";
import { idAt, rowOfId } from "../src/state/source";
import { fit, toMap, toScreen, viewOf, viewText, zoom } from "../src/map/view";

function random(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 48271) % 2147483647;
    return seed / 2147483647;
  });
}

const x = random(4000, 3);
const y = random(4000, 7);
x[10] = NaN;
const size = { width: 800, height: 600 };

/** The angles that the line turns by, as seen from a point, add up to a whole turn or more where it is inside. */
function slow(line: number[], px: number, py: number): boolean {
  let odd = 0;
  for (let at = 0; at < line.length; at += 2) {
    const next = (at + 2) % line.length;
    const [x1, y1, x2, y2] = [line[at]!, line[at + 1]!, line[next]!, line[next + 1]!];
    const [low, high] = y1 < y2 ? [y1, y2] : [y2, y1];
    if (py < low || py >= high) continue;
    const cross = x1 + ((py - y1) / (y2 - y1)) * (x2 - x1);
    if (cross > px) odd += 1;
  }
  return odd % 2 === 1;
}

test("a lasso finds what comparing every point finds", () => {
  for (let seed = 1; seed < 12; seed += 1) {
    const corners = random(2 * (3 + seed * 4), seed * 97);
    const line = Array.from(corners);
    const hidden = Uint8Array.from({ length: x.length }, (_, row) => Number(row % 5 === 0));
    const wanted: number[] = [];
    for (let row = 0; row < x.length; row += 1) if (!hidden[row] && slow(line, x[row]!, y[row]!)) wanted.push(row);
    assert.deepEqual(Array.from(inside(x, y, corners, hidden)), wanted);
  }
});

test("the nearest point is the one that comparing all finds", () => {
  const cells = new Cells(x, y);
  for (let at = 0; at < 200; at += 1) {
    const [px, py] = [random(200, 5)[at]!, random(200, 11)[at]!];
    let best = -1;
    let least = 0.03 ** 2;
    for (let row = 0; row < x.length; row += 1) {
      const off = (x[row]! - px) ** 2 + (y[row]! - py) ** 2;
      if (off <= least && row % 2 === 0) [best, least] = [row, off];
    }
    assert.equal(cells.nearest(px, py, 0.03, (row) => row % 2 === 0), best);
  }
});

test("what lies under the pointer stays there when the map is enlarged", () => {
  const view = zoom(fit(size), size, 3.7, 123, 456);
  const [a, b] = toMap(view, size, 123, 456);
  const [c, d] = toMap(fit(size), size, 123, 456);
  assert.ok(Math.hypot(a - c, b - d) < 1e-9);
  const [left, top] = toScreen(view, size, a, b);
  assert.ok(Math.hypot(left - 123, top - 456) < 1e-6);
  assert.ok(Math.abs(viewOf(viewText(view, size), size).scale / view.scale - 1) < 0.01);
  assert.deepEqual(viewOf("nonsense", size), fit(size));
});

test("every point has one place in the shuffled order", () => {
  assert.deepEqual(Array.from(shuffled(1000)).sort((a, b) => a - b), Array.from({ length: 1000 }, (_, at) => at));
});

test("a name stands amid the points of its value, and values without a name have none", () => {
  const labels = labelsOf(Float32Array.of(0.1, 0.2, 0.9, 0.5), Float32Array.of(0.3, 0.3, 0.3, 0.5), [1, 1, 1, 2], ["dress"]);
  assert.equal(labels.length, 1);
  assert.deepEqual([labels[0]!.text, labels[0]!.count, labels[0]!.x], ["dress", 3, Math.fround(0.2)]);
});

test("names do not cover each other, the largest come first, and pictures keep clear of them", () => {
  const labels = ["dress", "skirt", "shoes", "hat"].map((text, at) => ({ text, x: 0.5 + at * 0.02, y: 0.5, count: 9 - at }));
  const found = placed(labels, fit(size), size, 10);
  assert.equal(found[0]!.label.text, "dress");
  for (const one of found) {
    for (const other of found) {
      const apart = one === other || Math.abs(one.box.left - other.box.left) >= Math.min(one.box.width, other.box.width) || one.box.top !== other.box.top;
      assert.ok(apart);
    }
  }
  const boxes = found.map((one) => one.box);
  const pictures = spritesOf({ x, y, order: shuffled(4000) }, fit(size), size, 34, boxes, (row) => row !== 0);
  assert.ok(pictures.length > 10 && pictures.length <= 60);
  for (const one of pictures) {
    assert.ok(boxes.every((box) => one.left + 17 <= box.left || one.left - 17 >= box.left + box.width || one.top + 17 <= box.top || one.top - 17 >= box.top + box.height));
  }
});

test("chosen rows know their ids, and no others", () => {
  const count = 500;
  const ids = new Uint8Array(count * 16);
  for (let row = 0; row < count; row += 1) ids.set([row >> 7, (row & 127) * 2, 9, row & 255], row * 16);
  const all = Array.from({ length: count }, (_, row) => idAt(ids, row));
  assert.deepEqual(all.map((id) => rowOfId(ids, id)), Array.from(all.keys()));
  assert.deepEqual(["ffffffff-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", "none"].map((id) => rowOfId(ids, id)), [-1, -1, -1]);
  const chosen = new RowIds(Uint32Array.from([0, 3, 77, 498]), ids);
  assert.deepEqual(all.filter((id) => chosen.has(id)), [...chosen]);
  assert.equal(chosen.has("ffffffff-0000-0000-0000-000000000000"), false);
});
