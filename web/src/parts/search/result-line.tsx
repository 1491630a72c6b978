// How many there are, what was asked for as chips that can be taken away, and the order.
import { useState } from "preact/hooks";
import type { Condition } from "../../state/ask";
import { isSearch, withCondition } from "../../state/ask";
import { category } from "../../state/category";
import { ask, askFor, searching, tookMs, total } from "../../state/results";
import { route } from "../../state/route";
import { mayWrite } from "../../state/session";
import { titleOf } from "../../state/summary";
import { count, short } from "../../state/words";
import { Down } from "../frame/bar";
import { SaveDialog } from "./saved";

interface Chip {
  text: string;
  away: () => void;
}

export function ResultLine() {
  const [saving, setSaving] = useState(false);
  const name = route.value.category!;
  const chips = chipsOf();
  const asked = chips.length > 0 || isSearch(ask.value);
  return (
    <div class="result-line" aria-busy={searching.value}>
      <p role="status">
        <b class="num">{total.value === null ? "" : count(total.value)}</b> <span class="dim">
          {total.value === 1 ? "image" : "images"}
          {tookMs.value !== null && <> · <span class="num">{Math.max(1, Math.round(tookMs.value))} ms</span></>}
        </span>
      </p>
      {chips.map((chip) => (
        <span class="chip" key={chip.text}>
          {chip.text}
          <button aria-label={`Take away: ${chip.text}`} onClick={chip.away}>×</button>
        </span>
      ))}
      {asked && mayWrite() && <button class="chip proposed" onClick={() => setSaving(true)}>Save search</button>}
      <Order />
      {saving && <SaveDialog category={name} close={() => setSaving(false)} />}
    </div>
  );
}

function chipsOf(): Chip[] {
  const now = ask.value;
  const chips: Chip[] = [];
  for (const [field, one] of Object.entries(now.conditions)) {
    const set = (next: Condition) => askFor(withCondition(ask.peek(), field, next));
    const title = titleOf(field).toLowerCase();
    if (one.any.length) chips.push({ text: `${title} is ${one.any.join(" or ")}`, away: () => set({ ...one, any: [] }) });
    for (const value of one.all) chips.push({ text: `${title} has ${value}`, away: () => set({ ...one, all: one.all.filter((other) => other !== value) }) });
    if (one.none.length) chips.push({ text: `${title} is not ${one.none.join(", ")}`, away: () => set({ ...one, none: [] }) });
    if (one.gte !== null) chips.push({ text: `${title} ≥ ${short(one.gte)}`, away: () => set({ ...one, gte: null }) });
    if (one.lte !== null) chips.push({ text: `${title} ≤ ${short(one.lte)}`, away: () => set({ ...one, lte: null }) });
  }
  if (now.least !== null) chips.push({ text: `similarity ≥ ${short(now.least)}`, away: () => askFor({ ...ask.peek(), least: null }) });
  if (now.collapse) chips.push({ text: "without copies", away: () => askFor({ ...ask.peek(), collapse: false }) });
  return chips;
}

const ORDERS: [string, string][] = [
  ["-indexed_at", "Newest first"],
  ["-quality", "Best first"],
  ["-width", "Widest first"],
  ["-bytes", "Largest file first"],
  ["bytes", "Smallest file first"],
];

function Order() {
  const now = ask.value;
  if (isSearch(now)) {
    return (
      <label class="order">
        <input type="checkbox" checked={now.collapse} onChange={(event) => askFor({ ...ask.value, collapse: event.currentTarget.checked })} /> One of each copy
        <span>Closest first</span>
      </label>
    );
  }
  const numbers = Object.entries(category.value?.indexes ?? {}).filter(([, kind]) => ["integer", "float", "datetime"].includes(kind));
  const known = ORDERS.map(([value]) => value.replace(/^-/, ""));
  const others = numbers.map(([field]) => field).filter((field) => !known.includes(field) && !field.startsWith("maps."));
  return (
    <label class="order pick">
      {labelOf(now.sort)} <Down />
      <select aria-label="Order" value={now.sort ?? ""} onChange={(event) => askFor({ ...ask.value, sort: event.currentTarget.value || null })}>
        <option value="">As they come</option>
        {ORDERS.map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        {others.flatMap((field) => [
          <option key={field} value={`-${field}`}>{labelOf(`-${field}`)}</option>,
          <option key={`${field}+`} value={field}>{labelOf(field)}</option>,
        ])}
      </select>
    </label>
  );
}

function labelOf(sort: string | null): string {
  if (sort === null) return "As they come";
  const known = ORDERS.find(([value]) => value === sort);
  return known ? known[1] : `${titleOf(sort.replace(/^-/, ""))}, ${sort.startsWith("-") ? "falling" : "rising"}`;
}
