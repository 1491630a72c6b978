// A picture as large as the window: arrows go on, the wheel and a pinch enlarge, dragging moves it.
import { useEffect, useRef, useState } from "preact/hooks";
import { pathOf, thumbnail } from "../../api/client";
import { useKeys } from "../../state/keys";
import { toggle, isChosen } from "../../state/selection";
import type { GridSource } from "../../state/source";
import { count } from "../../state/words";

interface Props {
  category: string;
  source: GridSource;
  at: number;
  go: (at: number) => void;
  close: () => void;
}

const LARGEST = 16;

export function Lightbox({ category, source, at, go, close }: Props) {
  const box = useRef<HTMLDialogElement>(null);
  const [view, setView] = useState({ zoom: 1, x: 0, y: 0 });
  const id = source.id(at);
  useEffect(() => box.current?.showModal(), []);
  useEffect(() => {
    setView({ zoom: 1, x: 0, y: 0 });
    for (const next of [at + 1, at - 1]) {
      if (next >= 0 && next < source.count) new Image().src = thumbnail(category, source.id(next), 1280);
    }
  }, [at]);
  const step = (by: number) => () => go(Math.min(source.count - 1, Math.max(0, at + by)));
  useKeys("Large picture", [
    { keys: "Space Escape", does: "Back to the page", run: close },
    { keys: "ArrowRight", does: "Next", run: step(1) },
    { keys: "ArrowLeft", does: "Before", run: step(-1) },
    { keys: "x", does: "Choose it, or no longer", run: () => toggle(id) },
    { keys: "0", does: "Whole picture", run: () => setView({ zoom: 1, x: 0, y: 0 }) },
  ]);

  function wheel(event: WheelEvent) {
    event.preventDefault();
    const zoom = Math.min(LARGEST, Math.max(1, view.zoom * Math.exp(-event.deltaY / 400)));
    const [fromX, fromY] = [event.clientX - innerWidth / 2, event.clientY - innerHeight / 2];
    const share = zoom / view.zoom;
    // the place under the pointer stays where it is
    setView(zoom === 1 ? { zoom, x: 0, y: 0 } : { zoom, x: fromX - (fromX - view.x) * share, y: fromY - (fromY - view.y) * share });
  }

  function drag(event: PointerEvent) {
    if (event.buttons === 1 && view.zoom > 1) setView({ ...view, x: view.x + event.movementX, y: view.y + event.movementY });
  }

  const large = view.zoom > 1.5 ? `${pathOf(category, "images", id)}/file` : thumbnail(category, id, 1280);
  return (
    <dialog class="lightbox" ref={box} aria-label={`Picture ${at + 1} of ${source.count}`} onClose={close} onWheel={wheel} onPointerMove={drag}>
      <img
        src={large}
        alt=""
        draggable={false}
        style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`, backgroundColor: source.colour(at) ?? "" }}
      />
      <button class="before" aria-label="Before" onClick={step(-1)} disabled={at === 0}>‹</button>
      <button class="after" aria-label="Next" onClick={step(1)} disabled={at === source.count - 1}>›</button>
      <footer>
        <span class="num">{count(at + 1)} of {count(source.count)}</span>
        {isChosen(id) && <span class="chosen">chosen</span>}
        <button onClick={close}>Close</button>
      </footer>
    </dialog>
  );
}
