// The layout of a very large grid, away from the page's own thread.
import type { Layout } from "../layout/justified";
import { justify } from "../layout/justified";

export interface LayoutTask {
  number: number;
  aspects: Float32Array;
  width: number;
  target: number;
  gap: number;
}
export interface LayoutDone {
  number: number;
  layout: Layout;
}

addEventListener("message", (event: MessageEvent<LayoutTask>) => {
  const { number, aspects, width, target, gap } = event.data;
  const layout = justify(aspects, width, target, gap);
  const done: LayoutDone = { number, layout };
  const moved = [layout.first, layout.tops, layout.heights, layout.lefts, layout.widths].map((one) => one.buffer);
  postMessage(done, { transfer: moved });
});
