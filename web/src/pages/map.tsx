// The map: all images as points, nearer the more alike they are.
import { effect } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { thumbnail } from "../api/client";
import type { Overlay, Tool } from "../map/stage";
import { Stage } from "../map/stage";
import { labelsOf } from "../map/places";
import { viewOf, viewText } from "../map/view";
import { MapFacts, MapLegend } from "../parts/map/map-legend";
import { MapPanel } from "../parts/map/map-panel";
import { useKeys } from "../state/keys";
import type { Points } from "../state/map";
import { ask, colours, column, dimmed, followMap, lit, mapName, maps, numberText, pointIds, points } from "../state/map";
import { fail } from "../state/notices";
import { queryOf } from "../state/ask";
import { address, go, route, setQuery } from "../state/route";
import { RowIds } from "../state/row-ids";
import type { Selection } from "../state/selection";
import { choose, chooseOnly, isChosen, selection } from "../state/selection";
import { idAt, rowOfId } from "../state/source";
import { isDark } from "../state/theme";

const CARD = { width: 170, height: 200 }; // what the card needs, with its distance from the point

export function MapPage() {
  useEffect(followMap, []);
  const { category } = route.value;
  if (category === null) return null;
  if (maps.value !== null && maps.value.length === 0) return <NoMap category={category} />;
  return (
    <main class="map">
      {points.value !== null && <MapStage key={points.value.key} category={category} />}
      <MapLegend />
      <MapFacts />
    </main>
  );
}

function MapStage({ category }: { category: string }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const stage = useRef<Stage | null>(null);
  const [tool, setTool] = useState<Tool>("pan");
  const [overlay, setOverlay] = useState<Overlay>({ labels: [], sprites: [] });
  const [line, setLine] = useState<number[]>([]);
  const [hover, setHover] = useState<{ row: number; left: number; top: number } | null>(null);
  const [shown, setShown] = useState({ pictures: true, names: true });
  const [rows, setRows] = useState<Uint32Array>(new Uint32Array(0));
  const given = points.value!;
  const ids = pointIds.value;

  // A layout effect: the stage is there before a key can be pressed, and stops before its box is taken away.
  useLayoutEffect(() => {
    const size = () => ({ width: box.current!.clientWidth, height: box.current!.clientHeight });
    let made: Stage;
    try {
      made = new Stage(canvas.current!, given.x, given.y, {
        overlay: setOverlay,
        hover: (row, left, top) => setHover(row < 0 ? null : { row, left, top }),
        click: (row) => pointIds.value !== null && go(address("image", category, [idAt(pointIds.value, row)])),
        chosen: (found, add) => chooseRows(given, found, add),
        moved: (view) => setQuery("map", { view: viewText(view, size()) }),
        line: (drawn) => setLine([...drawn]),
      });
    } catch (error) {
      fail(error);
      return;
    }
    stage.current = made;
    made.resize(size());
    made.look(viewOf(route.peek().query.get("view"), size()));
    const watch = new ResizeObserver(() => made.resize(size()));
    watch.observe(box.current!);
    const ends = [
      effect(() => made.colour(colours.value, isDark.value)),
      effect(() => made.name(labels())),
      effect(() => {
        const found = rowsOf(selection.value, pointIds.value);
        made.mark(hiddenRows(), found);
        setRows(found);
      }),
    ];
    return () => {
      ends.forEach((end) => end());
      watch.disconnect();
      made.stop();
    };
  }, []);

  const use = (next: Tool) => () => {
    setTool(next);
    stage.current?.use(next);
  };
  const flip = (what: "pictures" | "names") => () => {
    const next = { ...shown, [what]: !shown[what] };
    setShown(next);
    Object.assign(stage.current!, next);
    stage.current!.settle();
  };
  const move = (right: number, down: number) => () => stage.current!.panBy(right, down);
  useKeys("Map", [
    { keys: "v", does: "Move the map", run: use("pan") },
    { keys: "l", does: "Choose by a line", run: use("lasso") },
    { keys: "b", does: "Choose by a box", run: use("box") },
    { keys: "p", does: "Pictures on the map", run: flip("pictures") },
    { keys: "n", does: "Names on the map", run: flip("names") },
    { keys: "0", does: "The whole map", run: () => stage.current!.fit() },
    { keys: "+ =", does: "Nearer", run: () => stage.current!.zoomBy(1.4) },
    { keys: "-", does: "Farther", run: () => stage.current!.zoomBy(1 / 1.4) },
    { keys: "ArrowLeft", does: "Go left", run: move(80, 0) },
    { keys: "ArrowRight", does: "Go right", run: move(-80, 0) },
    { keys: "ArrowUp", does: "Go up", run: move(0, 80) },
    { keys: "ArrowDown", does: "Go down", run: move(0, -80) },
  ]);

  return (
    <>
      <div class={`stage ${tool}`} ref={box}>
        <canvas ref={canvas} role="img" aria-label={`Map ${mapName.value}: ${given.rows} images`} />
        {ids !== null && overlay.sprites.map((one) => <Sprite key={one.row} at={one} category={category} id={idAt(ids, one.row)} />)}
        {overlay.labels.map((one) => (
          <span key={one.text} class="name serif" style={{ left: `${one.left}px`, top: `${one.top}px` }}>
            {one.text.replaceAll("_", " ")}
          </span>
        ))}
        {line.length >= 4 && (
          <svg class="line" aria-hidden="true">
            <polygon points={line.join(" ")} />
          </svg>
        )}
        {hover && (
          <div class={cardSide(hover, box.current!.clientWidth)} style={{ left: `${hover.left}px`, top: `${hover.top}px` }}>
            {ids !== null && <img src={thumbnail(category, idAt(ids, hover.row), 320)} alt="" />}
            <span>{valueOf(hover.row)}</span>
          </div>
        )}
      </div>
      <MapPanel rows={rows} />
      <div class="map-tools" role="toolbar" aria-label="Map">
        {([["pan", "Pan", "V"], ["lasso", "Lasso", "L"], ["box", "Box", "B"]] as const).map(([one, label, key]) => (
          <button key={one} aria-pressed={tool === one} onClick={use(one)}>
            {label} <kbd>{key}</kbd>
          </button>
        ))}
        <i />
        <button aria-pressed={shown.pictures} onClick={flip("pictures")}>
          Pictures <kbd>P</kbd>
        </button>
        <button aria-pressed={shown.names} onClick={flip("names")}>
          Names <kbd>N</kbd>
        </button>
        <button onClick={() => stage.current!.fit()}>
          Fit <kbd>0</kbd>
        </button>
        <button onClick={() => go(address("search", category, [], queryOf(ask.value)))}>As a search</button>
      </div>
    </>
  );
}

function Sprite({ at, category, id }: { at: Overlay["sprites"][number]; category: string; id: string }) {
  return <img class={isChosen(id) ? "sprite on" : "sprite"} src={thumbnail(category, id, 160)} alt="" style={{ left: `${at.left}px`, top: `${at.top}px` }} />;
}

/** Choose rows of the map, once their ids have come. */
function chooseRows(given: Points, found: Uint32Array, add: boolean): void {
  const stop = pointIds.subscribe((ids) => {
    const left = points.peek() !== given;
    if (ids === null && !left) return;
    queueMicrotask(() => stop());
    if (ids === null || left) return;
    const chosen = new RowIds(found, ids);
    if (add) choose(chosen);
    else chooseOnly(chosen);
  });
}

/** Where the card goes so that the map's edges do not cut it: above and right of its point, or elsewhere. */
function cardSide(at: { left: number; top: number }, width: number): string {
  return `card${at.top < CARD.height ? " below" : ""}${at.left > width - CARD.width ? " before" : ""}`;
}

/** The rows that are chosen by their ids, rising; none where a whole question is, and before the ids have come. */
function rowsOf(chosen: Selection, ids: Uint8Array | null): Uint32Array {
  if (chosen.kind !== "ids" || chosen.ids.size === 0 || ids === null) return new Uint32Array(0);
  if (chosen.ids instanceof RowIds && chosen.ids.ids === ids) return chosen.ids.rows;
  const rows = Array.from(chosen.ids, (id) => rowOfId(ids, id)).filter((row) => row >= 0);
  return Uint32Array.from(rows).sort();
}

function labels() {
  const [now, given] = [column.value, points.value];
  return now === null || given === null || now.values === null ? [] : labelsOf(given.x, given.y, now.data, now.values.slice(0, 40));
}

/** Rows that are dimmed: those the conditions leave out, and those of other values than the one that is lit. */
function hiddenRows(): Uint8Array | null {
  const code = colours.value.legend.find((one) => one.value === lit.value)?.code;
  if (code === undefined) return dimmed.value;
  const { codes } = colours.value;
  return Uint8Array.from(codes, (one, row) => (one !== code || dimmed.value?.[row] ? 1 : 0));
}

function valueOf(row: number): string {
  const now = column.value;
  if (now === null) return "";
  const value = now.data[row]!;
  return now.values === null ? numberText(value) : (now.values[value - 1] ?? "");
}

function NoMap({ category }: { category: string }) {
  return (
    <main class="empty">
      <span class="serif">No map yet</span>
      <p>
        Make one: <code>vitrine map make umap -c {category}</code>
      </p>
      <p>
        or in Python: <code>v["{category}"].map("umap")</code>
      </p>
    </main>
  );
}
