// The values of one field with their counts: a click asks for any of them, again for all, Alt-click for none.
import { useState } from "preact/hooks";
import type { Condition } from "../../state/ask";
import { CLUSTER, empty } from "../../state/ask";
import type { Facet } from "../../state/summary";
import { count } from "../../state/words";

interface Props {
  facet: Facet;
  title: string;
  one: Condition;
  /** Whether an image can have several values, so that all of them can be asked for. */
  many: boolean;
  set: (one: Condition) => void;
  more: () => void;
}

type State = "off" | "any" | "all" | "none";

export function FacetValues({ facet, title, one, many, set, more }: Props) {
  const [word, setWord] = useState("");
  const most = Math.max(1, ...facet.values.map((value) => value.count));
  const known = facet.values.map((value) => String(value.value));
  const chosen = [...one.any, ...one.all, ...one.none].filter((value) => !known.includes(value));
  const rows = [...chosen.map((value) => ({ value, count: 0 })), ...facet.values];
  const wanted = rows.filter((row) => String(row.value).toLowerCase().includes(word.toLowerCase()));

  function click(value: string, none: boolean): void {
    const next = nextState(stateOf(one, value), none, many);
    const single = facet.field.startsWith(CLUSTER); // the API takes one node of a run
    const base = single ? empty() : without(one, value);
    if (next === "off") set(base);
    else set({ ...base, [next]: [...base[next], value] });
  }

  return (
    <>
      {(facet.more || rows.length > 12) && (
        <input class="facet-word" placeholder={`Find in ${title.toLowerCase()}`} aria-label={`Find in ${title}`} value={word} onInput={(event) => setWord(event.currentTarget.value)} />
      )}
      <ul class="facet">
        {wanted.map((row) => {
          const value = String(row.value);
          const state = stateOf(one, value);
          return (
            <li key={value}>
              <button
                class={state}
                aria-pressed={state === "off" ? "false" : state === "none" ? "mixed" : "true"}
                title={many ? "Click: any; again: all; Alt-click: none" : "Click: any; Alt-click: none"}
                onClick={(event) => click(value, event.altKey)}
              >
                <span class="box" aria-hidden="true">{state === "none" ? "−" : state === "all" ? "&" : state === "any" ? "✓" : ""}</span>
                <span class="value">{value}{state === "none" && <span class="hidden"> (without)</span>}</span>
                <em class="num">{count(row.count)}</em>
                <i style={{ "--share": String(row.count / most) }} aria-hidden="true" />
              </button>
            </li>
          );
        })}
      </ul>
      {facet.more && (
        <button class="more" onClick={more}>
          More values
        </button>
      )}
    </>
  );
}

export function stateOf(one: Condition, value: string): State {
  return one.none.includes(value) ? "none" : one.all.includes(value) ? "all" : one.any.includes(value) ? "any" : "off";
}

/** Return what a click makes of a value: off, any, all (where possible), off; with Alt: none, off. */
export function nextState(state: State, none: boolean, many: boolean): State {
  if (none) return state === "none" ? "off" : "none";
  if (state === "any") return many ? "all" : "off";
  return state === "off" ? "any" : "off";
}

function without(one: Condition, value: string): Condition {
  const left = (list: string[]) => list.filter((other) => other !== value);
  return { ...one, any: left(one.any), all: left(one.all), none: left(one.none) };
}
