import assert from "node:assert/strict";
import { test } from "node:test";
import { beside, justify, rowAt, rowOf } from "../src/layout/justified";
import { HIGHEST, ScrollMap } from "../src/layout/scroll";

function drawn(count: number, seed = 1): Float32Array {
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 48271) % 2147483647;
    return 0.2 + (seed / 2147483647) * 4;
  });
}

test("every row but the last fills the width, and rows are near the target", () => {
  const layout = justify(drawn(2000), 1200, 180, 6);
  assert.equal(layout.first[layout.rows], 2000);
  for (let row = 0; row < layout.rows; row += 1) {
    const last = layout.first[row + 1]! - 1;
    const right = layout.lefts[last]! + layout.widths[last]!;
    if (row < layout.rows - 1) {
      assert.ok(Math.abs(right - 1200) < 0.01, `row ${row} ends at ${right}`);
      assert.ok(layout.heights[row]! > 110 && layout.heights[row]! < 300, `row ${row}: ${layout.heights[row]}`);
    } else assert.ok(right <= 1200.01);
    for (let at = layout.first[row]! + 1; at <= last; at += 1) {
      assert.ok(Math.abs(layout.lefts[at]! - layout.lefts[at - 1]! - layout.widths[at - 1]! - 6) < 0.01);
    }
  }
});

test("no pictures and one picture", () => {
  assert.equal(justify(new Float32Array(0), 800, 180, 6).height, 0);
  const one = justify(Float32Array.of(1.5), 800, 180, 6);
  assert.deepEqual([one.rows, one.heights[0], one.widths[0]], [1, 180, 270]);
});

test("rows are found as a search through all of them finds them", () => {
  const layout = justify(drawn(700, 5), 900, 160, 4);
  for (let y = 0; y < layout.height; y += 37) {
    let slow = 0;
    while (slow + 1 < layout.rows && layout.tops[slow + 1]! <= y) slow += 1;
    assert.equal(rowAt(layout, y), slow);
  }
  for (let at = 0; at < 700; at += 1) {
    const row = rowOf(layout, at);
    assert.ok(layout.first[row]! <= at && at < layout.first[row + 1]!);
    assert.equal(rowOf(layout, beside(layout, at, 1)), Math.min(row + 1, layout.rows - 1));
  }
});

test("a layout that a box can hold is scrolled as it is", () => {
  const map = new ScrollMap(50_000, 800);
  assert.deepEqual([map.boxHeight, map.moved(1234), map.inBox(2000)], [50_000, 1234, 2000]);
});

test("a higher one is reached to its last pixel, and small steps are not stretched", () => {
  const map = new ScrollMap(25_000_000, 800);
  assert.equal(map.boxHeight, HIGHEST);
  assert.equal(map.moved(HIGHEST - 800), 25_000_000 - 800);
  assert.equal(map.moved(0), 0);
  const middle = map.moved(4_000_000);
  assert.ok(Math.abs(map.moved(4_000_100) - middle - 100) < 1e-6);
  const rest = map.settled(middle + 100);
  assert.ok(Math.abs(map.moved(rest) - middle - 100) < 1e-6);
  assert.ok(Math.abs(map.inBox(middle + 100) - rest) < 1);
});
