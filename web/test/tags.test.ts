import assert from "node:assert/strict";
import { test } from "node:test";
import { curveOf } from "../src/state/curve";

test("the curve of precision over recall counts the judged images above each score", () => {
  const points = curveOf({ positive_histogram: [1, 0, 3, 6], negative_histogram: [80, 6, 3, 1] });
  assert.deepEqual(points.map((one) => one.threshold), [0.75, 0.5, 0.25, 0]);
  assert.deepEqual(points[0], { recall: 0.6, precision: 6 / 7, threshold: 0.75 });
  assert.deepEqual(points.at(-1), { recall: 1, precision: 10 / 100, threshold: 0 });
  assert.deepEqual(curveOf({}), []);
});
