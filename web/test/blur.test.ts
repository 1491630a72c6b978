// The blurred pictures of payloads, drawn by the page.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BLUR_SIDE, blurPixels } from "../src/layout/blur";

function packed(head: number[], steps: number[]): string {
  const tail = Array.from({ length: 15 }, (_, at) => (steps[2 * at]! << 4) | steps[2 * at + 1]!);
  return btoa(String.fromCharCode(...head, ...tail));
}
const FLAT = Array.from({ length: 30 }, () => 7);
const pixel = (pixels: Uint8ClampedArray, x: number, y: number) => [...pixels.subarray((y * BLUR_SIDE + x) * 4, (y * BLUR_SIDE + x) * 4 + 4)];

test("a picture without waves is of one colour", () => {
  const grey = blurPixels(packed([102, 128, 128, 255, 0xff], FLAT));
  assert.deepEqual(pixel(grey, 0, 0), [102, 102, 102, 255]);
  assert.deepEqual(pixel(grey, 15, 15), [102, 102, 102, 255]);
  const red = blurPixels(packed([85, 255, 64, 0, 0], FLAT));
  const [r, g, b] = pixel(red, 3, 8) as [number, number, number, number];
  assert.ok(r > 200 && g < 60 && b < 60, `${r} ${g} ${b}`);
});

test("the first wave of brightness goes down, the second across", () => {
  const down = blurPixels(packed([128, 128, 128, 128, 0], [14, ...FLAT.slice(1)]));
  assert.ok(pixel(down, 5, 0)[0]! > 240 && pixel(down, 5, 15)[0]! < 15);
  assert.deepEqual(pixel(down, 0, 4), pixel(down, 15, 4));
  const across = blurPixels(packed([128, 128, 128, 128, 0], [7, 0, ...FLAT.slice(2)]));
  assert.ok(pixel(across, 0, 5)[0]! < 15 && pixel(across, 15, 5)[0]! > 240);
});
