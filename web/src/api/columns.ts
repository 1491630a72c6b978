// Columns of a whole category: fields of all its images as arrays, in one order of rows.
import { bytes, pathOf } from "./client";

export interface Column {
  name: string;
  type: "float32" | "float64" | "uint8" | "uint16" | "uint32";
  data: Float32Array | Float64Array | Uint8Array | Uint16Array | Uint32Array;
  /** Of codes: code i stands for values[i - 1], code 0 for no value. */
  values: string[] | null;
}

export interface Columns {
  rows: number;
  version: string;
  columns: Map<string, Column>;
}

interface Header {
  rows: number;
  version: string;
  columns: { name: string; type: Column["type"]; offset: number; length?: number; values?: string[] }[];
}

const KINDS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };

/** Read columns by name (`aspect`, `class`, `map.NAME` ...). The browser keeps them, and asks whether they are
 * still the same. */
export async function readColumns(category: string, fields: string[], signal?: AbortSignal): Promise<Columns> {
  const path = `${pathOf(category, "columns")}?fields=${fields.map(encodeURIComponent).join(",")}`;
  const answer = await bytes("GET", path, signal ? { signal } : {});
  return parseColumns(await answer.arrayBuffer());
}

/** Read the ids of all rows: 16 bytes each. */
export async function readIds(category: string, signal?: AbortSignal): Promise<Uint8Array> {
  const answer = await bytes("GET", pathOf(category, "columns", "ids"), signal ? { signal } : {});
  return new Uint8Array(await answer.arrayBuffer());
}

/** Which rows a question finds, bit r % 8 of byte r / 8, and of which version of the columns. */
export interface RowMask {
  mask: Uint8Array;
  version: string;
}

export async function readMask(category: string, body: unknown, signal?: AbortSignal): Promise<RowMask> {
  const answer = await bytes("POST", pathOf(category, "columns", "mask"), { json: body, ...(signal ? { signal } : {}) });
  return { mask: new Uint8Array(await answer.arrayBuffer()), version: answer.headers.get("X-Vitrine-Version") ?? "" };
}

/** Take the arrays out of an answer: a header's length, the header, the arrays, each from a multiple of 8. */
export function parseColumns(buffer: ArrayBuffer): Columns {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as Header;
  const columns = new Map<string, Column>();
  for (const one of header.columns) {
    const size = header.rows * (one.length ?? 1);
    const data = new KINDS[one.type](buffer, 4 + length + one.offset, size);
    columns.set(one.name, { name: one.name, type: one.type, data, values: one.values ?? null });
  }
  return { rows: header.rows, version: header.version, columns };
}

/** Return the numbers of the rows whose bits are set. */
export function rowsOf(mask: Uint8Array, rows: number): Uint32Array {
  const found = new Uint32Array(rows);
  let count = 0;
  for (let row = 0; row < rows; row += 1) {
    if (mask[row >> 3]! & (1 << (row & 7))) found[count++] = row;
  }
  return found.slice(0, count);
}
