// The ids of rows of a category's columns: a lasso may choose half a million, of which few are ever looked at.
import { idAt, rowOfId } from "./source";

/** Ids that are looked up, counted and gone through; a `Set` of them is one. */
export interface Ids extends Iterable<string> {
  readonly size: number;
  has(id: string): boolean;
}

export class RowIds implements Ids {
  /** `rows`: rising; `ids`: 16 bytes of each row of the category, rising too. */
  constructor(
    readonly rows: Uint32Array,
    readonly ids: Uint8Array,
  ) {}

  get size(): number {
    return this.rows.length;
  }

  has(id: string): boolean {
    const row = rowOfId(this.ids, id);
    let low = 0;
    let high = this.rows.length - 1;
    while (row >= 0 && low <= high) {
      const middle = (low + high) >> 1;
      if (this.rows[middle] === row) return true;
      if (this.rows[middle]! < row) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }

  *[Symbol.iterator](): Iterator<string> {
    for (const row of this.rows) yield idAt(this.ids, row);
  }
}
