// What a grid shows: pictures by number, with what is known of each before it is loaded.

export interface GridSource {
  /** Sources with the same key answer the same question; the later one may have more, or what is there by now. */
  readonly key: string;
  readonly count: number;
  /** Width / height of each picture. */
  readonly aspects: Float32Array;
  id(at: number): string;
  /** `#rrggbb`, or null. */
  colour(at: number): string | null;
  /** The blurred form of the payload, or null. */
  blur(at: number): string | null;
  similarity(at: number): number | null;
  /** How many near-duplicates of it were left out. */
  copies(at: number): number;
}

export const NO_PICTURES: GridSource = {
  key: "",
  count: 0,
  aspects: new Float32Array(0),
  id: () => "",
  colour: () => null,
  blur: () => null,
  similarity: () => null,
  copies: () => 0,
};

/** One hit of an answer of the API, with the fields that a grid asks for. */
export interface GridHit {
  id: string;
  similarity: number | null;
  payload: Record<string, unknown>;
}

export const GRID_FIELDS = ["width", "height", "colour", "blur"];

/** Hits of a search, or images of a list. */
export class HitSource implements GridSource {
  readonly aspects: Float32Array;

  constructor(
    readonly key: string,
    readonly hits: readonly GridHit[],
    private readonly similar: Record<string, number> = {},
  ) {
    this.aspects = Float32Array.from(hits, (hit) => Number(hit.payload["width"]) / Number(hit.payload["height"]) || 1);
  }

  get count(): number {
    return this.hits.length;
  }

  id(at: number): string {
    return this.hits[at]!.id;
  }

  colour(at: number): string | null {
    return (this.hits[at]!.payload["colour"] as string | undefined) ?? null;
  }

  blur(at: number): string | null {
    return (this.hits[at]!.payload["blur"] as string | undefined) ?? null;
  }

  similarity(at: number): number | null {
    return this.hits[at]!.similarity;
  }

  copies(at: number): number {
    return this.similar[this.hits[at]!.id] ?? 0;
  }
}

/** Images of a category by its columns: `rows` are the numbers of its rows, in the order that is shown. */
export class ColumnSource implements GridSource {
  readonly aspects: Float32Array;

  constructor(
    readonly key: string,
    private readonly rows: Uint32Array,
    private readonly ids: Uint8Array,
    aspects: Float32Array,
    private readonly colours: Uint8Array | null,
  ) {
    this.aspects = new Float32Array(rows.length);
    for (let at = 0; at < rows.length; at += 1) this.aspects[at] = aspects[rows[at]!]! || 1;
  }

  get count(): number {
    return this.rows.length;
  }

  id(at: number): string {
    return idAt(this.ids, this.rows[at]!);
  }

  colour(at: number): string | null {
    if (this.colours === null) return null;
    const from = this.rows[at]! * 3;
    if (this.colours[from]! + this.colours[from + 1]! + this.colours[from + 2]! === 0) return null; // not known
    return `#${hex(this.colours[from]!)}${hex(this.colours[from + 1]!)}${hex(this.colours[from + 2]!)}`;
  }

  blur(): string | null {
    return null;
  }

  similarity(): number | null {
    return null;
  }

  copies(): number {
    return 0;
  }
}

/** Return the id of a row: 16 bytes as a UUID is written. */
export function idAt(ids: Uint8Array, row: number): string {
  let text = "";
  for (let at = 0; at < 16; at += 1) {
    if (at === 4 || at === 6 || at === 8 || at === 10) text += "-";
    text += hex(ids[row * 16 + at]!);
  }
  return text;
}

/** Return the row of an id among ids that rise; -1 where there is none. */
export function rowOfId(ids: Uint8Array, id: string): number {
  const digits = id.replaceAll("-", "");
  if (digits.length !== 32) return -1;
  const wanted = Uint8Array.from({ length: 16 }, (_, at) => parseInt(digits.slice(at * 2, at * 2 + 2), 16));
  let low = 0;
  let high = ids.length / 16 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    let at = 0;
    while (at < 16 && ids[middle * 16 + at] === wanted[at]) at += 1;
    if (at === 16) return middle;
    if (ids[middle * 16 + at]! < wanted[at]!) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hex(byte: number): string {
  return HEX[byte]!;
}
