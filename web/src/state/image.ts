// One image and what is known of it, as the image panel shows it.
import { signal } from "@preact/signals";
import type { Schemas } from "../api/client";
import { call, pathOf } from "../api/client";
import { readCategory } from "./category";
import { changed, fail } from "./notices";
import type { Undo } from "./notices";
import { renew } from "./results";
import type { GridHit } from "./source";

export type Image = Schemas["ImageOut"];
export type Tagger = Schemas["TaggerOut"];

export function readImage(category: string, id: string, signal: AbortSignal): Promise<Image> {
  return call<Image>("GET", pathOf(category, "images", id), { signal });
}

/** Return the images nearest to one, by the encoder that is asked by. */
export async function nearest(category: string, id: string, using: string | null, signal: AbortSignal): Promise<GridHit[]> {
  const json = { id, limit: 10, fields: ["width", "height", "colour"], ...(using === null ? {} : { using }) };
  return (await call<{ hits: GridHit[] }>("POST", pathOf(category, "search"), { json, signal })).hits;
}

/** Return the similarity of an image to each example, in their order; null where an example has gone. */
export async function similarities(
  category: string,
  id: string,
  examples: string[],
  using: string | null,
  signal: AbortSignal,
): Promise<(number | null)[]> {
  const filter = { ids: [id] };
  const ask = (example: string) =>
    call<{ hits: GridHit[] }>("POST", pathOf(category, "search"), {
      json: { positive: [example], filter, limit: 1, fields: [], ...(using === null ? {} : { using }) },
      signal,
    }).then(
      (answer) => answer.hits[0]?.similarity ?? null,
      () => null,
    );
  return Promise.all(examples.map(ask));
}

/** Change one image, say so with an undo, and return it as it is now. */
export async function change(category: string, id: string, changes: Record<string, unknown>, text: string): Promise<Image | null> {
  try {
    const now = await call<Image & { undo?: Undo | null }>("PATCH", pathOf(category, "images", id), { json: changes });
    changed(text, now.undo, () => afterChange(category));
    void readCategory(category);
    return now;
  } catch (error) {
    fail(error);
    return null;
  }
}

/** What has to be read anew after images were changed. */
export function afterChange(category: string): void {
  renew();
  imageChanges.value += 1;
  void readCategory(category);
}

/** Goes up when images were changed by something else than the panel itself. */
export const imageChanges = signal(0);
