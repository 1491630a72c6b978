// Bars of a number with two handles: what lies between them is asked for. Dragging changes the picture, letting
// go the question. Both handles are sliders for the keyboard.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Bin } from "../state/summary";
import { short } from "../state/words";

interface Props {
  title: string;
  bins: Bin[];
  /** Bounds that hold now; null: open at this end. */
  lower: number | null;
  upper: number | null;
  set: (lower: number | null, upper: number | null) => void;
  show?: (value: number) => string;
  /** Only the lower end can be moved: what is nearer than this. */
  lowerOnly?: boolean;
}

export function HistogramBrush({ title, bins, lower, upper, set, show = short, lowerOnly = false }: Props) {
  const box = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<{ lower: number | null; upper: number | null } | null>(null);
  // drawn in the pixels of the screen, so that handles stay round however wide it is
  const [{ width, height }, setSize] = useState({ width: 208, height: 46 });
  const empty = bins.length === 0;
  useEffect(() => {
    if (box.current === null) return;
    const watch = new ResizeObserver(([one]) => setSize({ width: one!.contentRect.width, height: one!.contentRect.height }));
    watch.observe(box.current);
    return () => watch.disconnect();
  }, [empty]);
  if (empty) return <p class="dim">No values</p>;
  const from = bins[0]!.lower;
  const to = bins[bins.length - 1]!.upper;
  const span = to - from || 1;
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const now = drag ?? { lower, upper };
  const left = now.lower ?? from;
  const right = now.upper ?? to;
  const x = (value: number) => (Math.min(to, Math.max(from, value)) - from) / span * width;
  const step = span / bins.length;

  function valueAt(event: PointerEvent): number {
    const frame = box.current!.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - frame.left) / frame.width));
    return from + share * span;
  }

  function begin(event: PointerEvent): void {
    event.preventDefault();
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    const value = valueAt(event);
    const end = !lowerOnly && Math.abs(value - right) < Math.abs(value - left) ? "upper" : "lower";
    move(event, end);
    const element = event.currentTarget as SVGSVGElement;
    let last: { lower: number | null; upper: number | null } = moved(value, end);
    const onMove = (next: PointerEvent) => {
      last = moved(valueAt(next), end);
      setDrag(last);
    };
    const onUp = () => {
      element.removeEventListener("pointermove", onMove);
      setDrag(null);
      set(last.lower, last.upper);
    };
    element.addEventListener("pointermove", onMove);
    element.addEventListener("pointerup", onUp, { once: true });
    element.addEventListener("pointercancel", onUp, { once: true });
  }

  function move(event: PointerEvent, end: "lower" | "upper"): void {
    setDrag(moved(valueAt(event), end));
  }

  /** Return the bounds with one end at a value; at the edge of the bars that end is open. */
  function moved(value: number, end: "lower" | "upper"): { lower: number | null; upper: number | null } {
    const near = span / 200;
    if (end === "lower") {
      const at = Math.min(value, right);
      return { lower: at - from < near ? null : rounded(at, span), upper: now.upper };
    }
    const at = Math.max(value, left);
    return { lower: now.lower, upper: to - at < near ? null : rounded(at, span) };
  }

  function key(event: KeyboardEvent, end: "lower" | "upper"): void {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 4, PageDown: -4 }[event.key];
    const ends = { Home: from, End: to }[event.key];
    if (way === undefined && ends === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const next = moved(ends ?? (end === "lower" ? left : right) + way! * step, end);
    set(next.lower, next.upper);
  }

  const handle = (end: "lower" | "upper", value: number) => (
    <circle
      class="handle"
      cx={x(value)}
      cy={height + 2}
      r="4.5"
      role="slider"
      tabindex={0} // in lower case: the attribute of an element of SVG
      aria-label={`${title}: ${end === "lower" ? "at least" : "at most"}`}
      aria-valuemin={from}
      aria-valuemax={to}
      aria-valuenow={value}
      aria-valuetext={show(value)}
      onKeyDown={(event) => key(event, end)}
    />
  );
  return (
    <>
      <svg class="hist" ref={box} viewBox={`0 0 ${width} ${height}`} role="group" aria-label={title} onPointerDown={begin}>
        {bins.map((bin, at) => {
          const middle = (bin.lower + bin.upper) / 2;
          const tall = bin.count === 0 ? 0 : Math.max(1, Math.sqrt(bin.count / most) * height);
          const wide = width / bins.length;
          return (
            <rect
              key={at}
              class={middle >= left && middle <= right ? "in" : "out"}
              x={at * wide}
              y={height - tall}
              width={Math.max(0.5, wide - 1.4)}
              height={tall}
              rx="1"
            >
              <title>{`${show(bin.lower)} to ${show(bin.upper)}: ${bin.count}`}</title>
            </rect>
          );
        })}
        <rect class="catch" x="0" y="-4" width={width} height={height + 12} />
        <line x1={x(left)} x2={x(left)} y1="-2" y2={height + 2} />
        {!lowerOnly && <line x1={x(right)} x2={x(right)} y1="-2" y2={height + 2} />}
        {handle("lower", left)}
        {!lowerOnly && handle("upper", right)}
      </svg>
      <div class="ends num">
        <span>{show(from)}</span>
        <span>{show(to)}</span>
      </div>
    </>
  );
}

/** Round to a step that is fine enough for the span, so that addresses stay short. */
export function rounded(value: number, span: number): number {
  const digits = Math.max(0, 3 - Math.ceil(Math.log10(span)));
  return digits === 0 ? Math.round(value) : Number(value.toFixed(Math.min(6, digits)));
}
