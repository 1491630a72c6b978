// A grid of pictures that may be a million: chosen by click and key, walked by arrows, read by a screen reader.
import { effect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Layout } from "../../layout/justified";
import { beside, justify } from "../../layout/justified";
import { useKeys } from "../../state/keys";
import { painted } from "../../state/painted";
import { choose, isChosen, selection, toggle } from "../../state/selection";
import type { GridSource } from "../../state/source";
import type { LayoutDone, LayoutTask } from "../../workers/layout";
import { startWorker } from "../../workers/start";
import type { GridHandlers } from "./grid-view";
import { GridView } from "./grid-view";

const GAP = 6;
const IN_WORKER = 200_000; // pictures from which on the layout is worked out in a worker
const TARGET = { wide: 178, narrow: 118 };

export interface GridProps {
  category: string;
  source: GridSource;
  label: string;
  /** Another question was asked: pictures of this one would only be in its way. */
  waits?: boolean;
  /** Where the layout began when the page was left; null for its top. */
  start: number | null;
  /** The picture that is looked at large; keys go on from it. */
  large?: number | null;
  open: (at: number) => void;
  look: (at: number) => void;
  example: (id: string, like: boolean) => void;
  scrolled?: (y: number) => void;
}

export function Grid(props: GridProps) {
  const box = useRef<HTMLDivElement>(null);
  const layer = useRef<HTMLDivElement>(null);
  const now = useRef<GridProps>(props);
  const inner = useRef<{ view: GridView; layouts: Layouts; layout: Layout | null; at: number; anchor: number } | null>(null);
  now.current = props;

  // Layout effects: the keys are taken before the first paint, and what is stopped must stop before its boxes are gone.
  useLayoutEffect(() => {
    const handlers: GridHandlers = {
      open: (at) => {
        step(at);
        now.current.open(at);
      },
      toggle: chooseAt,
      example: (at, like) => now.current.example(now.current.source.id(at), like),
      painted: (key) => (painted.value = key),
      scrolled: (y) => now.current.scrolled?.(y),
    };
    const view = new GridView(box.current!, layer.current!, handlers);
    const made = { view, layouts: new Layouts(), layout: null as Layout | null, at: -1, anchor: 0 };
    inner.current = made;
    const watch = new ResizeObserver(() => place(null));
    watch.observe(box.current!);
    const unmark = effect(() => {
      selection.value;
      view.markChosen();
    });
    return () => {
      unmark();
      watch.disconnect();
      view.stop();
      made.layouts.stop();
    };
  }, []);

  const question = useRef("");
  useLayoutEffect(() => {
    const asked = `${props.category} ${props.source.key}`;
    const other = asked !== question.current;
    question.current = asked;
    if (other) inner.current!.at = -1;
    place(other ? now.current.start : null);
  }, [props.category, props.source]);
  useLayoutEffect(() => inner.current!.view.pause(props.waits === true), [props.waits]);
  useLayoutEffect(() => {
    if (typeof props.large === "number") step(props.large);
  }, [props.large]);

  function place(y: number | null): void {
    const { source, category } = now.current;
    const width = box.current!.clientWidth;
    if (width === 0) return;
    const target = width < 600 ? TARGET.narrow : TARGET.wide;
    inner.current!.layouts.make(source, width, target, (layout) => {
      inner.current!.layout = layout;
      inner.current!.view.show(category, source, layout, y);
    });
  }

  function step(to: number): void {
    const { source } = now.current;
    const at = Math.min(source.count - 1, Math.max(0, to));
    inner.current!.at = at;
    inner.current!.view.focus(at);
  }

  function chooseAt(at: number, range: boolean): void {
    const { source } = now.current;
    const from = range ? inner.current!.anchor : at;
    inner.current!.anchor = at;
    if (from === at) {
      toggle(source.id(at));
      return;
    }
    const ids: string[] = [];
    for (let one = Math.min(from, at); one <= Math.max(from, at); one += 1) ids.push(source.id(one));
    choose(ids, !ids.every(isChosen));
  }

  const at = () => inner.current!.at;
  const hasOne = () => at() >= 0 && at() < now.current.source.count;
  function focused(): void {
    // by Tab, not by the press of a button that is about to click a picture
    if (!hasOne() && box.current!.matches(":focus-visible")) step(inner.current!.view.firstInView());
  }
  const row = (way: -1 | 1) => () => {
    const { layout } = inner.current!;
    step(at() < 0 || layout === null ? 0 : beside(layout, at(), way));
  };
  useKeys("Pictures", [
    { keys: "ArrowRight", does: "Next picture", run: () => step(at() + 1) },
    { keys: "ArrowLeft", does: "Picture before", run: () => step(at() - 1) },
    { keys: "ArrowDown", does: "Row below", run: row(1) },
    { keys: "ArrowUp", does: "Row above", run: row(-1) },
    { keys: "Home", does: "First picture", run: () => step(0) },
    { keys: "End", does: "Last picture", run: () => step(now.current.source.count - 1) },
    { keys: "Enter", does: "Open the picture", run: () => now.current.open(at()), when: hasOne },
    { keys: "Space", does: "Look at it large", run: () => now.current.look(at()), when: hasOne },
    { keys: "x", does: "Choose it, or no longer", run: () => chooseAt(at(), false), when: hasOne },
    { keys: "Shift+x", does: "Choose all from the last one to it", run: () => chooseAt(at(), true), when: hasOne },
    { keys: "+", does: "More like it", run: () => now.current.example(now.current.source.id(at()), true), when: hasOne },
    { keys: "-", does: "Less like it", run: () => now.current.example(now.current.source.id(at()), false), when: hasOne },
  ]);

  return (
    <div
      class="grid"
      ref={box}
      role="listbox"
      aria-multiselectable="true"
      aria-label={props.label}
      tabIndex={0}
      onFocus={(event) => event.target === box.current && focused()}
    >
      <div class="layer" ref={layer} role="presentation" />
    </div>
  );
}

/** Works out layouts, the large ones in a worker; the last one that was asked for counts. */
class Layouts {
  private worker: Worker | null = null;
  private number = 0;
  private done: (layout: Layout) => void = () => {};

  make(source: GridSource, width: number, target: number, done: (layout: Layout) => void): void {
    this.number += 1;
    this.done = done;
    if (source.count < IN_WORKER) {
      done(justify(source.aspects, width, target, GAP));
      return;
    }
    if (this.worker === null) {
      this.worker = startWorker("layout-worker");
      this.worker.addEventListener("message", (event: MessageEvent<LayoutDone>) => {
        if (event.data.number === this.number) this.done(event.data.layout);
      });
    }
    const task: LayoutTask = { number: this.number, aspects: source.aspects, width, target, gap: GAP };
    this.worker.postMessage(task);
  }

  stop(): void {
    this.number += 1;
    this.worker?.terminate();
  }
}
