// The map on the screen: what is drawn when, what the pointer does, and the pictures and names over the points.
import type { LassoDone, LassoPoints, LassoTask } from "../workers/lasso";
import { startWorker } from "../workers/start";
import type { Colouring } from "./colours";
import { CHOSEN, DIMMED, PointCloud } from "./gl";
import { Pace } from "./pace";
import { Cells } from "./picking";
import type { Label, Sprite } from "./places";
import { placed, spritesOf } from "./places";
import type { Size, View } from "./view";
import { fit, pan, toMap, toScreen, zoom } from "./view";

export type Tool = "pan" | "lasso" | "box";

/** What lies over the points, worked out when the map rests. */
export interface Overlay {
  labels: { text: string; left: number; top: number }[];
  sprites: Sprite[];
}

export interface StageEvents {
  overlay: (overlay: Overlay) => void;
  hover: (row: number, left: number, top: number) => void;
  click: (row: number) => void;
  chosen: (rows: Uint32Array, add: boolean) => void;
  moved: (view: View) => void;
  /** The line that is being drawn, as x, y, x, y in pixels; empty when it ends. */
  line: (points: number[]) => void;
}

const REST_MS = 80;
const PAINT_MS = 30; // until a frame that has begun is on the screen
const PART = 200_000; // points; drawn by software they take a fifth of a second
const REACH = 12; // pixels around the pointer in which a point is met
const SPRITE = 34;

export class Stage {
  view: View;
  private tool: Tool = "pan";
  pictures = true;
  names = true;
  private cloud: PointCloud;
  private cells: Cells;
  private pace: Pace;
  private worker: Worker | null = null;
  private task = 0;
  private size: Size = { width: 1, height: 1 };
  private labels: Label[] = [];
  private hidden: Uint8Array | null = null;
  private frame = 0;
  private rest = 0;
  private soon = 0;
  private marked = false;
  /** Which rows are marked, as long as the points do not show it yet. */
  private unshown: { hidden: Uint8Array | null; chosen: Uint32Array } | null = null;
  private moving = false;
  private empty = true;
  private glow = false;
  private pointers = new Map<number, { x: number; y: number }>();
  private line: number[] = [];
  private dragged = 0;
  private add = false;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly x: Float32Array,
    private readonly y: Float32Array,
    private readonly events: StageEvents,
  ) {
    this.cloud = new PointCloud(canvas, x, y);
    this.cells = new Cells(x, y);
    this.pace = new Pace(x.length);
    this.view = fit(this.size);
    canvas.addEventListener("wheel", this.onWheel, { passive: false });
    canvas.addEventListener("pointerdown", this.onDown);
    canvas.addEventListener("pointermove", this.onMove);
    canvas.addEventListener("pointerup", this.onUp);
    canvas.addEventListener("pointercancel", this.onUp);
    canvas.addEventListener("pointerleave", this.onLeave);
  }

  stop(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
    clearTimeout(this.soon);
    this.worker?.terminate();
    this.cloud.stop();
  }

  resize(size: Size): void {
    const first = this.size.width === 1;
    this.size = size;
    const ratio = Math.min(2, devicePixelRatio);
    this.canvas.width = Math.round(size.width * ratio);
    this.canvas.height = Math.round(size.height * ratio);
    this.empty = true;
    if (first) this.view = fit(size);
    this.settle();
  }

  colour(colouring: Colouring, glow: boolean): void {
    this.cloud.setCodes(colouring.codes);
    this.cloud.setPalette(colouring.palette);
    this.glow = glow;
    this.settle();
  }

  /** `hidden`: 1 for rows that are dimmed; `chosen`: the rows that are chosen. */
  mark(hidden: Uint8Array | null, chosen: Uint32Array): void {
    this.hidden = hidden;
    const any = hidden !== null || chosen.length > 0;
    if (!any && !this.marked) return; // nothing is drawn otherwise than it was
    this.marked = any;
    this.unshown = { hidden, chosen };
    this.settleAfterPaint();
  }

  name(labels: Label[]): void {
    this.labels = labels;
    this.settle();
  }

  look(view: View): void {
    this.view = view;
    this.move();
  }

  fit(): void {
    this.look(fit(this.size));
  }

  zoomBy(factor: number): void {
    this.look(zoom(this.view, this.size, factor, this.size.width / 2, this.size.height / 2));
  }

  panBy(right: number, down: number): void {
    this.look(pan(this.view, right, down));
  }

  /** What the pointer does from now on. */
  use(tool: Tool): void {
    this.tool = tool;
    if (tool !== "pan") this.chooser(); // it takes the points while a person draws
  }

  /** Draw all points, at rest: of very many a part in each frame, so that a movement need not wait for all. After a
   * movement each part is shown, and the points become more; otherwise what is on the screen stays until the end. */
  settle(): void {
    clearTimeout(this.soon);
    cancelAnimationFrame(this.frame);
    const grows = this.moving || this.empty;
    let from = 0;
    const next = () => {
      if (from === 0) this.showMarks();
      this.cloud.drawPart(this.view, this.size, from, PART, this.glow);
      from += PART;
      const all = from >= this.cloud.count;
      if (all || grows) this.cloud.show();
      this.cloud.finish();
      if (all) this.rested();
      else this.frame = requestAnimationFrame(next);
    };
    this.frame = requestAnimationFrame(next);
  }

  private rested(): void {
    this.moving = false;
    this.empty = false;
    this.drew(this.cloud.count);
    this.events.overlay(this.overlay());
  }

  private showMarks(): void {
    if (this.unshown === null) return;
    const { hidden, chosen } = this.unshown;
    this.unshown = null;
    const states = new Uint8Array(this.x.length);
    if (hidden !== null) for (let row = 0; row < states.length; row += 1) states[row] = hidden[row] ? DIMMED : 0;
    for (let at = 0; at < chosen.length; at += 1) states[chosen[at]!]! |= CHOSEN;
    this.cloud.setStates(states);
  }

  /** Settle once what the page says of it is on the screen: the frames that points are drawn in hold it up. */
  private settleAfterPaint(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.soon = setTimeout(() => this.settle(), PAINT_MS);
    });
  }

  /** Draw while moving: as many points as a frame has time for. All come once it rests. */
  private move(): void {
    if (!this.moving) {
      this.events.overlay({ labels: [], sprites: [] });
      this.events.hover(-1, 0, 0);
    }
    this.moving = true;
    clearTimeout(this.soon);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame((now) => {
      this.pace.frame(now);
      this.cloud.draw(this.view, this.size, this.pace.points);
      this.cloud.finish();
      this.drew(this.pace.points);
    });
    clearTimeout(this.rest);
    this.rest = setTimeout(() => {
      this.settle();
      this.events.moved(this.view);
    }, REST_MS);
  }

  /** Say how many points are on the screen: the benchmark of the map reads it. */
  private drew(points: number): void {
    this.canvas.dataset["points"] = String(points);
  }

  private overlay(): Overlay {
    const names = this.names ? placed(this.labels, this.view, this.size, 24) : [];
    const wanted = (row: number) => !this.hidden?.[row];
    const order = { x: this.x, y: this.y, order: this.cloud.order };
    const boxes = names.map((one) => one.box);
    return {
      labels: names.map(({ label, box }) => ({ text: label.text, left: box.left + box.width / 2, top: box.top + box.height / 2 })),
      sprites: this.pictures ? spritesOf(order, this.view, this.size, SPRITE, boxes, wanted) : [],
    };
  }

  private rowAt(left: number, top: number): number {
    const [x, y] = toMap(this.view, this.size, left, top);
    return this.cells.nearest(x, y, REACH / this.view.scale, (row) => !this.hidden?.[row]);
  }

  private at(event: MouseEvent): [number, number] {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  private onWheel = (event: WheelEvent): void => {
    event.preventDefault();
    const [left, top] = this.at(event);
    this.view = zoom(this.view, this.size, Math.exp(-event.deltaY / 320), left, top);
    this.move();
  };

  private onDown = (event: PointerEvent): void => {
    this.canvas.setPointerCapture(event.pointerId);
    const [x, y] = this.at(event);
    this.pointers.set(event.pointerId, { x, y });
    this.dragged = 0;
    this.add = event.shiftKey;
    if (this.tool !== "pan" && this.pointers.size === 1) this.line = [x, y];
  };

  private onMove = (event: PointerEvent): void => {
    const [x, y] = this.at(event);
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) {
      if (!this.moving) {
        const row = this.rowAt(x, y);
        const [left, top] = row < 0 ? [0, 0] : toScreen(this.view, this.size, this.x[row]!, this.y[row]!);
        this.events.hover(row, left, top);
      }
      return;
    }
    this.dragged += Math.abs(x - before.x) + Math.abs(y - before.y);
    if (this.pointers.size === 2) this.pinch(event.pointerId, x, y);
    else if (this.tool === "pan") this.look(pan(this.view, x - before.x, y - before.y));
    else this.draw(x, y);
    this.pointers.set(event.pointerId, { x, y });
  };

  private pinch(id: number, x: number, y: number): void {
    const other = [...this.pointers].find(([one]) => one !== id)![1];
    const before = this.pointers.get(id)!;
    const factor = Math.hypot(x - other.x, y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y));
    this.line = [];
    this.look(zoom(this.view, this.size, factor, (x + other.x) / 2, (y + other.y) / 2));
  }

  private draw(x: number, y: number): void {
    if (this.tool === "lasso") this.line.push(x, y);
    else {
      const [left, top] = [this.line[0]!, this.line[1]!];
      this.line = [left, top, x, top, x, y, left, y];
    }
    this.events.line(this.line);
  }

  private onUp = (event: PointerEvent): void => {
    const [left, top] = this.at(event);
    this.pointers.delete(event.pointerId);
    const line = this.line;
    this.line = [];
    this.events.line([]);
    if (this.dragged < 5) {
      const row = this.rowAt(left, top);
      if (row >= 0) this.events.click(row);
    } else if (this.tool !== "pan" && line.length >= 6) this.choose(line);
  };

  private onLeave = (): void => this.events.hover(-1, 0, 0);

  private chooser(): Worker {
    if (this.worker === null) {
      this.worker = startWorker("lasso-worker");
      const given: LassoPoints = { x: this.x, y: this.y };
      this.worker.postMessage(given);
      this.worker.addEventListener("message", (event: MessageEvent<LassoDone>) => {
        if (event.data.number === this.task) this.events.chosen(event.data.rows, this.add);
      });
    }
    return this.worker;
  }

  private choose(line: number[]): void {
    this.task += 1;
    const places = new Float32Array(line.length);
    for (let at = 0; at < line.length; at += 2) {
      const [x, y] = toMap(this.view, this.size, line[at]!, line[at + 1]!);
      places[at] = x;
      places[at + 1] = y;
    }
    const task: LassoTask = { number: this.task, line: places, hidden: this.hidden };
    this.chooser().postMessage(task);
  }
}
