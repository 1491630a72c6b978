// Which points of a map lie inside a drawn line, away from the page's own thread. The points come once.
import { inside } from "../map/lasso";

export interface LassoPoints {
  x: Float32Array;
  y: Float32Array;
}
export interface LassoTask {
  number: number;
  line: Float32Array;
  hidden: Uint8Array | null;
}
export interface LassoDone {
  number: number;
  rows: Uint32Array;
}

let points: LassoPoints = { x: new Float32Array(0), y: new Float32Array(0) };

addEventListener("message", (event: MessageEvent<LassoPoints | LassoTask>) => {
  const data = event.data;
  if ("x" in data) {
    points = data;
    return;
  }
  const rows = inside(points.x, points.y, data.line, data.hidden);
  const done: LassoDone = { number: data.number, rows };
  postMessage(done, { transfer: [rows.buffer] });
});
