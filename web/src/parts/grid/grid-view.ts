// The grid's pictures: one layer, as many nodes as are seen, moved to where the layout says. It is not drawn by
// Preact, since a scroll must not cost more than moving a few boxes.
import type { ThumbnailWidth } from "../../api/client";
import { thumbnail } from "../../api/client";
import { BLUR_SIDE, blurPixels } from "../../layout/blur";
import type { Layout } from "../../layout/justified";
import { rowAt, rowOf } from "../../layout/justified";
import { ScrollMap } from "../../layout/scroll";
import { isChosen } from "../../state/selection";
import type { GridSource } from "../../state/source";
import { counted, short } from "../../state/words";
import { PictureQueue } from "./picture-queue";

// Of the view, where pictures are there before they are seen: most of them where the scroll goes to, so that at 3,000
// pixels a second a picture has half a second to come.
const AHEAD = 1.6;
const BEHIND = 0.3;
const HURRIED = 1_000; // pixels a second
const FAST = 8_000; // pixels a second: pictures wait until the scroll is slower
const REST_MS = 90;

interface Tile {
  node: HTMLElement;
  image: HTMLImageElement;
  /** Draws the blurred picture. */
  blur: CanvasRenderingContext2D;
  /** How many copies of it were left out. */
  badge: HTMLElement;
  at: number;
  width: number;
  height: number;
}

export interface GridHandlers {
  open: (at: number) => void;
  toggle: (at: number, range: boolean) => void;
  example: (at: number, like: boolean) => void;
  /** All pictures in view of a question have come. */
  painted: (key: string) => void;
  scrolled: (y: number) => void;
}

/** Draws a source into a box that scrolls. */
export class GridView {
  private tiles = new Map<number, Tile>();
  private free: Tile[] = [];
  /** Boxes of what was shown before, by picture, while something else is put in their place. */
  private before = new Map<string, Tile>();
  private layout: Layout | null = null;
  private source: GridSource | null = null;
  private category = "";
  private map = new ScrollMap(0, 0);
  private y = 0;
  private speed = 0;
  private up = false;
  private lastMove = { y: 0, time: 0 };
  private frame = 0;
  private rest = 0;
  private focused = -1;
  private readonly over: HTMLElement;
  private overAt = -1;
  private readonly pictures = new PictureQueue(() => this.look());
  /** Whether the pictures in view have come; those beyond it have no boxes before. */
  private painted = false;

  constructor(
    private readonly box: HTMLElement,
    private readonly layer: HTMLElement,
    private readonly handlers: GridHandlers,
  ) {
    this.over = overlay();
    box.addEventListener("scroll", this.onScroll, { passive: true });
    layer.addEventListener("click", this.onClick);
    layer.addEventListener("pointerover", this.onPointer);
    layer.addEventListener("pointerleave", () => this.showOver(-1));
  }

  stop(): void {
    this.pictures.stop();
    this.box.removeEventListener("scroll", this.onScroll);
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
  }

  /** Show a source in a layout of its pictures. The same key: the scroll stays. What is there already is not loaded
   * again. */
  show(category: string, source: GridSource, layout: Layout, y: number | null): void {
    const same = this.source?.key === source.key && this.category === category;
    this.source = source;
    this.layout = layout;
    this.category = category;
    this.painted &&= same;
    this.map = new ScrollMap(layout.height, this.box.clientHeight);
    this.layer.style.height = `${this.map.boxHeight}px`;
    this.showOver(-1);
    this.before = new Map([...this.tiles.values()].map((tile) => [this.pictures.of(tile.image), tile]));
    this.tiles.clear();
    this.goTo(y ?? (same ? this.y : 0));
    for (const tile of this.before.values()) this.release(tile);
    this.before.clear();
    this.pictures.next(); // what was loading has made room
    this.look();
  }

  /** Scroll so that the layout begins at this height. */
  goTo(y: number): void {
    const end = Math.max(0, this.map.height - this.map.view);
    this.y = Math.min(end, Math.max(0, y));
    this.box.scrollTop = this.map.settled(this.y);
    this.draw();
  }

  /** Make a picture the one that keys act on, and bring it into view. */
  focus(at: number): void {
    if (this.layout === null || at < 0 || at >= this.layout.lefts.length) return;
    const before = this.tiles.get(this.focused);
    before?.node.classList.remove("focus");
    this.focused = at;
    const row = rowOf(this.layout, at);
    const top = this.layout.tops[row]!;
    const bottom = top + this.layout.heights[row]!;
    if (top < this.y) this.goTo(top - this.layout.gap);
    else if (bottom > this.y + this.map.view) this.goTo(bottom - this.map.view + this.layout.gap);
    this.tiles.get(at)?.node.classList.add("focus");
    this.box.setAttribute("aria-activedescendant", nodeId(at));
    this.showOver(at);
  }

  /** Return the first picture of the row at the upper edge of the view; -1 where there are none. */
  firstInView(): number {
    if (this.layout === null || this.layout.rows === 0) return -1;
    return this.layout.first[rowAt(this.layout, this.y)]!;
  }

  /** Begin to load no more pictures, or go on. */
  pause(paused: boolean): void {
    this.pictures.paused = paused;
    this.pictures.next();
  }

  /** Draw which pictures are chosen. */
  markChosen(): void {
    for (const tile of this.tiles.values()) this.mark(tile);
  }

  private onScroll = (): void => {
    if (this.frame === 0) this.frame = requestAnimationFrame(this.onFrame);
  };

  private onFrame = (): void => {
    this.frame = 0;
    this.y = this.map.moved(this.box.scrollTop);
    this.painted ||= this.y !== this.lastMove.y; // who scrolls looks for what is beyond
    const now = performance.now();
    this.up = this.y < this.lastMove.y;
    this.speed = (Math.abs(this.y - this.lastMove.y) / Math.max(1, now - this.lastMove.time)) * 1000;
    this.lastMove = { y: this.y, time: now };
    this.draw();
    clearTimeout(this.rest);
    this.rest = setTimeout(this.onRest, REST_MS);
  };

  private onRest = (): void => {
    this.speed = 0;
    if (this.map.isMapped) {
      const scroll = this.map.settled(this.y);
      if (scroll !== this.box.scrollTop) this.box.scrollTop = scroll;
    }
    this.draw();
    this.handlers.scrolled(this.y);
  };

  private draw(): void {
    const { layout, source } = this;
    if (layout === null || source === null || layout.rows === 0) return;
    const [above, below] = !this.painted ? [0, 0] : this.up ? [AHEAD, BEHIND] : [BEHIND, AHEAD];
    const firstRow = rowAt(layout, this.y - this.map.view * above);
    const lastRow = rowAt(layout, this.y + this.map.view * (1 + below));
    const first = layout.first[firstRow]!;
    const last = layout.first[lastRow + 1]! - 1;
    for (const [at, tile] of this.tiles) {
      if (at < first || at > last) {
        this.tiles.delete(at);
        this.release(tile);
      }
    }
    for (let row = firstRow; row <= lastRow; row += 1) {
      const top = this.map.inBox(layout.tops[row]!);
      for (let at = layout.first[row]!; at < layout.first[row + 1]!; at += 1) {
        const tile = this.tiles.get(at) ?? this.fill(at, layout.widths[at]!, layout.heights[row]!);
        tile.node.style.transform = `translate(${layout.lefts[at]}px, ${top}px)`;
      }
    }
    this.pictures.hurried = this.speed > HURRIED;
    if (this.speed < FAST) this.pictures.load(this.inOrder(layout, firstRow, lastRow));
  }

  /** The pictures of some rows in the order in which they are wanted: what is in view, then where the scroll goes. */
  private *inOrder(layout: Layout, firstRow: number, lastRow: number): Iterable<HTMLImageElement> {
    const [top, bottom] = this.rowsInView(layout);
    const after = range(bottom + 1, lastRow);
    const before = range(firstRow, top - 1).reverse();
    for (const row of [...range(top, bottom), ...(this.up ? [...before, ...after] : [...after, ...before])]) {
      for (let at = layout.first[row]!; at < layout.first[row + 1]!; at += 1) {
        const tile = this.tiles.get(at); // a fast scroll may have taken it away meanwhile
        if (tile !== undefined) yield tile.image;
      }
    }
  }

  private rowsInView(layout: Layout): [number, number] {
    return [rowAt(layout, this.y), rowAt(layout, this.y + this.map.view)];
  }

  /** See whether all pictures in view have come; then those beyond it are drawn. */
  private look(): void {
    const { layout, source } = this;
    if (this.painted || layout === null || source === null) return;
    const [top, bottom] = layout.rows === 0 ? [0, -1] : this.rowsInView(layout);
    for (let at = layout.first[top]!; at < layout.first[bottom + 1]!; at += 1) {
      const tile = this.tiles.get(at);
      if (tile === undefined || this.pictures.isComing(tile.image)) return;
    }
    this.painted = true;
    const { key } = source;
    requestAnimationFrame(() =>
      setTimeout(() => {
        if (this.source?.key !== key) return;
        this.draw();
        this.handlers.painted(key);
      }),
    );
  }

  private fill(at: number, width: number, height: number): Tile {
    const source = this.source!;
    const address = thumbnail(this.category, source.id(at), thumbnailWidth(width, height));
    const old = this.before.get(address);
    this.before.delete(address);
    const tile = old ?? this.free.pop() ?? this.make();
    tile.at = at;
    const { node } = tile;
    node.id = nodeId(at);
    if (tile.width !== width) node.style.width = `${(tile.width = width)}px`;
    if (tile.height !== height) node.style.height = `${(tile.height = height)}px`;
    if (old === undefined) this.stand(tile, at, address);
    node.setAttribute("aria-posinset", String(at + 1));
    node.setAttribute("aria-setsize", String(source.count));
    const similarity = source.similarity(at);
    const copies = source.copies(at);
    tile.badge.textContent = copies > 0 ? `+${copies}` : "";
    node.setAttribute("aria-label", `Image ${at + 1}${similarity === null ? "" : `, similarity ${short(similarity)}`}${copies > 0 ? `, ${counted(copies, "copy", "copies")} left out` : ""}`);
    node.classList.toggle("focus", at === this.focused);
    node.hidden = false;
    this.tiles.set(at, tile);
    this.mark(tile);
    return tile;
  }

  /** Draw what stands for a picture until it comes. */
  private stand(tile: Tile, at: number, address: string): void {
    const blur = this.source!.blur(at);
    this.pictures.want(tile.image, address);
    tile.node.style.backgroundColor = this.source!.colour(at) ?? "";
    tile.blur.canvas.hidden = blur === null;
    if (blur !== null) tile.blur.putImageData(new ImageData(blurPixels(blur), BLUR_SIDE), 0, 0);
  }

  private make(): Tile {
    const node = document.createElement("div");
    node.className = "tile";
    node.setAttribute("role", "option");
    const image = document.createElement("img");
    image.alt = "";
    image.decoding = "async";
    image.draggable = false;
    this.pictures.follow(image);
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = BLUR_SIDE;
    const badge = document.createElement("span");
    badge.className = "badge";
    node.append(canvas, image, badge);
    this.layer.append(node);
    return { node, image, blur: canvas.getContext("2d")!, badge, at: -1, width: 0, height: 0 };
  }

  private release(tile: Tile): void {
    if (tile.at === this.overAt) this.showOver(-1);
    tile.node.hidden = true;
    this.pictures.drop(tile.image);
    this.free.push(tile);
  }

  private mark(tile: Tile): void {
    tile.node.setAttribute("aria-selected", String(isChosen(this.source!.id(tile.at))));
  }

  private onClick = (event: MouseEvent): void => {
    const at = this.atOf(event.target);
    if (at < 0) return;
    const does = (event.target as Element).closest<HTMLElement>("[data-does]")?.dataset["does"];
    if (does === "like" || does === "unlike") this.handlers.example(at, does === "like");
    else if (does === "choose" || event.ctrlKey || event.metaKey || event.shiftKey) this.handlers.toggle(at, event.shiftKey);
    else this.handlers.open(at);
  };

  private onPointer = (event: PointerEvent): void => {
    if (event.pointerType === "mouse") this.showOver(this.atOf(event.target));
  };

  private showOver(at: number): void {
    if (at === this.overAt) return;
    this.overAt = at;
    const tile = this.tiles.get(at);
    if (tile === undefined || this.source === null) {
      this.over.remove();
      return;
    }
    const similarity = this.source.similarity(at);
    this.over.firstElementChild!.textContent = similarity === null ? "" : short(similarity);
    tile.node.append(this.over);
  }

  private atOf(target: EventTarget | null): number {
    const node = (target as Element | null)?.closest?.(".tile");
    return node ? Number(node.id.slice(PREFIX.length)) : -1;
  }
}

const PREFIX = "tile-";

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);
}

function nodeId(at: number): string {
  return `${PREFIX}${at}`;
}

/**
 * What lies over the picture that the pointer is at: its similarity, and what can be done with it. An option of a
 * list must hold no buttons: without a pointer these are the keys +, - and x.
 */
function overlay(): HTMLElement {
  const over = document.createElement("div");
  over.className = "over";
  over.setAttribute("aria-hidden", "true");
  over.append(document.createElement("span"));
  const signs = [
    ["like", "+", "More like this"],
    ["unlike", "−", "Less like this"],
    ["choose", "○", "Choose"],
  ] as const;
  for (const [does, sign, title] of signs) {
    const place = document.createElement("b");
    place.dataset["does"] = does;
    place.textContent = sign;
    place.title = title;
    over.append(place);
  }
  return over;
}

function thumbnailWidth(width: number, height: number): ThumbnailWidth {
  const needed = Math.max(width, height * 0.75) * Math.min(2, devicePixelRatio);
  return needed <= 160 ? 160 : needed <= 360 ? 320 : needed <= 720 ? 640 : 1280;
}
