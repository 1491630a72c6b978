// What is chosen on the map: how many, what they are, and what can be done with them.
import { thumbnail } from "../../api/client";
import { colours, pointIds } from "../../state/map";
import { address, go, route } from "../../state/route";
import { selection } from "../../state/selection";
import { idAt } from "../../state/source";
import { count } from "../../state/words";

const SHOWN = 28;

export function MapPanel({ rows }: { rows: Uint32Array }) {
  const ids = pointIds.value;
  const { category } = route.value;
  if (ids === null || category === null || rows.length === 0 || selection.value.kind !== "ids") return null;
  const { codes, legend } = colours.value;
  const counts = new Uint32Array(256);
  for (let at = 0; at < rows.length; at += 1) counts[codes[rows[at]!]!]! += 1;
  const mix = legend
    .map((one) => ({ ...one, count: counts[one.code]! }))
    .filter((one) => one.count > 0)
    .sort((a, b) => b.count - a.count);
  const step = Math.max(1, Math.floor(rows.length / SHOWN));
  const shown = Array.from({ length: Math.min(SHOWN, rows.length) }, (_, at) => rows[at * step]!);
  return (
    <aside class="map-panel panel" aria-label="Chosen on the map">
      <h2>
        <b class="num">{count(rows.length)}</b> <span class="serif">selected</span>
      </h2>
      {mix.length > 0 && (
        <>
          <p class="dim">{mix.slice(0, 3).map((one) => `${one.count} ${one.value}`).join(", ")}</p>
          <div class="stack" aria-hidden="true">
            {mix.map((one) => (
              <i key={one.code} style={{ width: `${(one.count / rows.length) * 100}%`, backgroundColor: one.colour }} />
            ))}
          </div>
        </>
      )}
      <div class="map-shown">
        {shown.map((row) => {
          const id = idAt(ids, row);
          return (
            <a key={id} href={address("image", category, [id])} aria-label="Open the image">
              <img src={thumbnail(category, id, 160)} alt="" />
            </a>
          );
        })}
      </div>
      <button class="pill" onClick={() => asSearch(category, [...rows.subarray(0, 50)].map((row) => idAt(ids, row)))}>
        More like these
      </button>
    </aside>
  );
}

function asSearch(category: string, ids: string[]): void {
  go(address("search", category, [], `like=${ids.join(",")}`));
}
