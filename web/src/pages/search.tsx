// Search: what is asked for above, how it narrows down at the left, the pictures, and one of them at the right.
import { useEffect, useState } from "preact/hooks";
import { AskBox } from "../parts/search/ask-box";
import { Facets } from "../parts/search/facets";
import { Grid } from "../parts/grid/grid";
import { ImagePanel } from "../parts/image/image-panel";
import { Lightbox } from "../parts/grid/lightbox";
import { ResultLine } from "../parts/search/result-line";
import { ask, askFor, followResults, refused, results, searching } from "../state/results";
import { address, go, keep, kept, route } from "../state/route";
import { choose, clearSelection, selection } from "../state/selection";
import { NO_PICTURES } from "../state/source";
import { counted } from "../state/words";

export function Search() {
  const { category, page, rest, query } = route.value;
  const [large, setLarge] = useState<number | null>(null);
  useEffect(followResults, []);
  useEffect(restoreSelection, [route.value]);
  if (category === null) return null;
  // another category was chosen: what was found in the one before is none of its pictures
  const source = results.value.key.startsWith(`${category}?`) ? results.value : NO_PICTURES;
  const open = page === "image" ? (rest[0] ?? null) : null;

  function show(id: string | null) {
    const at = query.toString();
    go(id === null ? address("search", category, [], at) : address("image", category, [id], at), open !== null && id !== null);
  }

  return (
    <main class={open === null ? "search" : "search with-panel"}>
      <Facets />
      <div class="found">
        <AskBox />
        <ResultLine />
        <Grid
          category={category}
          source={source}
          waits={searching.value}
          label={counted(source.count, "picture")}
          start={kept().scroll ?? null}
          large={large}
          open={(at) => show(source.id(at))}
          look={setLarge}
          example={addExample}
          scrolled={(scroll) => keep({ scroll })}
        />
        {source.count === 0 && !searching.value && refused.value === null && source.key !== "" && <Nothing />}
      </div>
      {open !== null && <ImagePanel category={category} id={open} source={source} show={show} look={setLarge} />}
      {large !== null && <Lightbox category={category} source={source} at={large} go={setLarge} close={() => setLarge(null)} />}
    </main>
  );
}

/** Ask for more, or less, like an image. Again takes it out. */
function addExample(id: string, like: boolean): void {
  const now = ask.value;
  const others = (list: string[]) => list.filter((one) => one !== id);
  const list = like ? now.like : now.unlike;
  const next = { ...now, like: others(now.like), unlike: others(now.unlike), sort: null };
  if (!list.includes(id)) (like ? next.like : next.unlike).push(id);
  askFor(next);
}

function Nothing() {
  const has = Object.keys(ask.value.conditions);
  return (
    <div class="empty">
      <span class="serif">Nothing matches</span>
      {has.length > 0 && (
        <button class="pill" onClick={() => askFor({ ...ask.value, conditions: {}, least: null })}>
          Take away {counted(has.length, "condition")}
        </button>
      )}
    </div>
  );
}

function firstOf(ids: Iterable<string>, most: number): string[] {
  const first: string[] = [];
  for (const id of ids) if (first.push(id) === most) break;
  return first;
}

/** Back brings what was chosen here; what is chosen is kept with the entry of the history. */
function restoreSelection(): () => void {
  const before = kept().chosen;
  if (before?.length) {
    clearSelection();
    choose(before);
  }
  return selection.subscribe((now) => {
    if (now.kind === "ids") keep({ chosen: firstOf(now.ids, 5_000) });
  });
}
