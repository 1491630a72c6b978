// What the colours of the map mean, and which field gives them. A value that is clicked is lit.
import { category } from "../../state/category";
import { by, colours, lit, maps, mapName, numberText } from "../../state/map";
import { address, go, route, setQuery } from "../../state/route";
import { titleOf } from "../../state/summary";
import { isDark } from "../../state/theme";
import { count, counted } from "../../state/words";
import { rampOf } from "../../map/colours";
import { Down } from "../frame/bar";

const COLOURING = ["keyword", "bool", "integer", "float", "datetime"];

export function MapLegend() {
  const { legend, range } = colours.value;
  const fields = Object.entries(category.value?.indexes ?? {})
    .filter(([field, kind]) => COLOURING.includes(kind) && !/^(maps|clusters|filename|urls)/.test(field))
    .map(([field]) => field);
  return (
    <section class="map-legend panel" aria-label="Colours">
      <label class="pick">
        Colour by <b>{titleOf(by.value).toLowerCase()}</b>
        <Down />
        <select aria-label="Colour by" value={by.value} onChange={(event) => setQuery("map", { by: event.currentTarget.value, lit: null })}>
          {[...new Set([by.value, ...fields])].map((field) => (
            <option key={field} value={field}>
              {titleOf(field)}
            </option>
          ))}
        </select>
      </label>
      {range !== null && (
        <div class="ramp">
          <i style={{ backgroundImage: rampOf(isDark.value) }} />
          <div class="ends num">
            <span>{numberText(range[0])}</span>
            <span>{numberText(range[1])}</span>
          </div>
        </div>
      )}
      <ul>
        {legend.map((one) => (
          <li key={one.value}>
            <button aria-pressed={lit.value === one.value} onClick={() => setQuery("map", { lit: lit.value === one.value ? null : one.value })}>
              <i style={{ backgroundColor: one.colour }} />
              <span>{one.value}</span>
              <em class="num">{count(one.count)}</em>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The map itself: which one, how many points, and how true it is. */
export function MapFacts() {
  const now = maps.value?.find((one) => one.name === mapName.value);
  if (!now) return null;
  const neighbours = now.metrics["neighbours_kept"];
  return (
    <section class="map-facts panel" aria-label="Map">
      <label class="pick">
        <b>{now.name}</b> on {now.using}
        {maps.value!.length > 1 && (
          <>
            <Down />
            <select
              aria-label="Map"
              value={now.name}
              onChange={(event) => go(address("map", route.value.category, [event.currentTarget.value], `by=${by.value}`))}
            >
              {maps.value!.map((one) => (
                <option key={one.name}>{one.name}</option>
              ))}
            </select>
          </>
        )}
      </label>
      <p class="dim">
        {counted(now.images, "point")}
        {typeof neighbours === "number" && ` · ${Math.round(neighbours * 100)} % of near neighbours kept`}
        {now.missing > 0 && ` · ${counted(now.missing, "image")} without a place`}
      </p>
    </section>
  );
}
