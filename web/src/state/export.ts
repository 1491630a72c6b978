// What is chosen, as a file: read page by page where it is a whole question.
import { call, pathOf } from "../api/client";
import { fail, say } from "./notices";
import { selection, targetOf } from "./selection";
import type { GridHit } from "./source";
import { counted } from "./words";

export type ListFormat = "csv" | "json" | "txt";
type Hit = GridHit & { urls: { file: string } };

const TYPES: Record<ListFormat, string> = { csv: "text/csv", json: "application/json", txt: "text/plain" };

/** Save what is chosen in a file of the browser's downloads. */
export async function exportChosen(category: string, format: ListFormat): Promise<void> {
  try {
    const hits = await chosenImages(category);
    const text = format === "json" ? JSON.stringify(hits, null, 1) : format === "csv" ? csvOf(hits) : addressesOf(hits);
    const address = URL.createObjectURL(new Blob([text], { type: TYPES[format] }));
    const link = document.createElement("a");
    link.href = address;
    link.download = `${category}-${hits.length}.${format}`;
    link.click();
    URL.revokeObjectURL(address);
    say(`Exported ${counted(hits.length, "image")}.`);
  } catch (error) {
    fail(error);
  }
}

async function chosenImages(category: string): Promise<Hit[]> {
  const target = targetOf(selection.peek());
  const query: Record<string, unknown> = "ids" in target ? { filter: { ids: target.ids } } : target.query;
  const isSearch = ["text", "positive", "negative"].some((word) => word in query);
  const found: Hit[] = [];
  let cursor: string | null = null;
  do {
    const page: Record<string, unknown> = isSearch ? { limit: 10_000 } : { limit: 1_000, ...(cursor === null ? {} : { cursor }) };
    const answer: { hits: Hit[]; cursor: string | null } = await call("POST", pathOf(category, "search"), { json: { ...query, ...page } });
    found.push(...answer.hits);
    cursor = answer.cursor;
  } while (cursor !== null);
  return found;
}

/** A table with a column for each field that a hit has; of objects, one for each of their fields. */
export function csvOf(hits: readonly GridHit[]): string {
  const rows = hits.map((hit) => new Map<string, unknown>([["id", hit.id], ["similarity", hit.similarity], ...flat(hit.payload, "")]));
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))].filter((name) => rows.some((row) => row.get(name) != null));
  const lines = [columns, ...rows.map((row) => columns.map((name) => row.get(name)))];
  return lines.map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}

function flat(tree: Record<string, unknown>, before: string): [string, unknown][] {
  return Object.entries(tree).flatMap(([name, value]): [string, unknown][] => {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? flat(value as Record<string, unknown>, `${before}${name}.`) : [[before + name, value]];
  });
}

/** Lists as Vitrine's tables have them, `red|large`. A formula of a spreadsheet is made a word. */
function cell(value: unknown): string {
  const text = Array.isArray(value) ? value.join("|") : value == null ? "" : String(value);
  const safe = typeof value !== "number" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function addressesOf(hits: readonly Hit[]): string {
  return hits.map((hit) => `${new URL(hit.urls.file, location.href).href}\n`).join("");
}
