// The left column: what the answer can be narrowed down by, counted over the whole question.
import { useEffect, useState } from "preact/hooks";
import type { Condition } from "../../state/ask";
import { empty, withCondition } from "../../state/ask";
import { ask, askFor } from "../../state/results";
import type { FieldChoice } from "../../state/summary";
import { choices, followSummary, limits, open, opened, shownChoices, summary, titleOf } from "../../state/summary";
import { bytes, short } from "../../state/words";
import { FacetValues } from "./facet";
import { HistogramBrush } from "../histogram";

const SEVERAL = ["tags", "machine_tags", "rejected_tags"];

export function Facets() {
  const [drawn, draw] = useState(false); // on a small screen: pulled in
  useEffect(followSummary, []);
  const shown = shownChoices(choices.value, opened.value);
  const hidden = choices.value.filter((one) => !shown.includes(one));
  return (
    <>
      <button class="pill facets-open" aria-expanded={drawn} onClick={() => draw(!drawn)}>
        {drawn ? "Show pictures" : "Narrow down"}
      </button>
      <aside class={drawn ? "facets drawn" : "facets"} aria-label="Narrow down">
        <Similarity />
        {shown.map((one) => (
          <Section key={one.field} choice={one} />
        ))}
        {hidden.length > 0 && summary.value !== null && <MoreFields hidden={hidden} />}
      </aside>
    </>
  );
}

function Similarity() {
  const found = summary.value?.similarity;
  if (!found) return null;
  const least = ask.value.least;
  return (
    <section>
      <h3>
        Similarity <span>{least === null ? "all" : `above ${short(least)}`}</span>
      </h3>
      <HistogramBrush title="Similarity" bins={found.bins} lower={least} upper={null} lowerOnly set={(lower) => askFor({ ...ask.value, least: lower })} />
    </section>
  );
}

function Section({ choice }: { choice: FieldChoice }) {
  const one = ask.value.conditions[choice.field] ?? empty();
  const set = (next: Condition) => askFor(withCondition(ask.value, choice.field, next));
  const facet = summary.value?.facets.find((found) => found.field === choice.field);
  const histogram = summary.value?.histograms.find((found) => found.field === choice.field);
  // a field that is not counted yet, or that nothing in the answer has, is not shown, unless it is asked for
  const nothing = facet ? facet.values.length === 0 : (histogram?.bins ?? []).every((bin) => bin.count === 0);
  if (nothing && !(choice.field in ask.value.conditions)) return null;
  const show = choice.field === "bytes" ? bytes : short;
  return (
    <section>
      <h3>
        {choice.title}
        <span>
          {saidOf(one, show)}{" "}
          <button title="Show it no longer" aria-label={`Show ${choice.title} no longer`} onClick={() => open(choice.field, false)}>×</button>
        </span>
      </h3>
      {facet && (
        <FacetValues
          facet={facet}
          title={choice.title}
          one={one}
          many={SEVERAL.includes(choice.field)}
          set={set}
          more={() => (limits.value = { ...limits.value, [choice.field]: (limits.value[choice.field] ?? 12) * 8 })}
        />
      )}
      {histogram && (
        <HistogramBrush title={choice.title} bins={histogram.bins} lower={one.gte} upper={one.lte} show={show} set={(gte, lte) => set({ ...one, gte, lte })} />
      )}
    </section>
  );
}

function saidOf(one: Condition, show: (value: number) => string): string {
  if (one.gte !== null && one.lte !== null) return `${show(one.gte)} to ${show(one.lte)}`;
  if (one.gte !== null) return `from ${show(one.gte)}`;
  if (one.lte !== null) return `up to ${show(one.lte)}`;
  if (one.all.length) return "all";
  return one.any.length ? "any" : one.none.length ? "without" : "";
}

function MoreFields({ hidden }: { hidden: FieldChoice[] }) {
  return (
    <select
      class="more"
      aria-label="Narrow down by another field"
      value=""
      onChange={(event) => open(event.currentTarget.value, true)}
    >
      <option value="">More fields …</option>
      {hidden.map((one) => (
        <option key={one.field} value={one.field}>
          {one.field.startsWith("scores.") ? `Score of ${titleOf(one.field)}` : one.title}
        </option>
      ))}
    </select>
  );
}
