// The images of a list as columns. Those of the category that was listed last are kept: a filter is then one small
// answer of bits, which also says whether what is kept is still so.
import type { Columns } from "./columns";
import { readColumns, readIds, readMask, rowsOf } from "./columns";

export interface Listed {
  columns: Columns;
  /** 16 bytes of each row. */
  ids: Uint8Array;
  /** The rows that the filter lets through, rising. */
  rows: Uint32Array;
}

interface Kept {
  category: string;
  columns: Columns;
  ids: Uint8Array;
}

const TRIES = 3; // images may be written while they are read

let kept: Kept | null = null;

/** Read fields of a category, and which rows a question without search finds; `question` is null for all of them. */
export async function readListed(category: string, fields: string[], question: unknown, signal: AbortSignal): Promise<Listed> {
  for (let left = TRIES; ; left -= 1) {
    const known = kept?.category === category && fields.every((field) => kept!.columns.columns.has(field)) ? kept : null;
    const asked = question !== null || known !== null;
    const [found, { columns, ids }] = await Promise.all([
      asked ? readMask(category, question ?? {}, signal) : null,
      known ?? read(category, fields, signal),
    ]);
    if (found === null) return { columns, ids, rows: allRows(columns.rows) };
    if (found.version === columns.version || left === 0) return { columns, ids, rows: rowsOf(found.mask, columns.rows) };
    kept = null;
  }
}

async function read(category: string, fields: string[], signal: AbortSignal): Promise<Kept> {
  const [columns, ids] = await Promise.all([readColumns(category, fields, signal), readIds(category, signal)]);
  kept = { category, columns, ids };
  return kept;
}

function allRows(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, row) => row);
}
