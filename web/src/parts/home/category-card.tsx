// A category as a card: five of its pictures, its name, how many there are, and what they are compared by.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf, thumbnail } from "../../api/client";
import { fail } from "../../state/notices";
import { address } from "../../state/route";
import { mayWrite } from "../../state/session";
import { count } from "../../state/words";

interface Props {
  one: Schemas["CategoryOut"];
  remove: (name: string) => void;
}

export function CategoryCard({ one, remove }: Props) {
  const [ids, setIds] = useState<string[]>([]);
  useEffect(() => {
    const own = new AbortController();
    call<{ hits: { id: string }[] }>("GET", `${pathOf(one.name, "images")}?limit=5`, { signal: own.signal }).then(
      (answer) => setIds(answer.hits.map((hit) => hit.id)),
      (error: unknown) => isAbort(error) || fail(error),
    );
    return () => own.abort();
  }, [one.name, one.images]);
  return (
    <article class="category-card">
      <a href={address("search", one.name)}>
        <span class="mosaic">
          {ids.map((id, at) => <img key={id} src={thumbnail(one.name, id, at === 0 ? 320 : 160)} alt="" loading="lazy" />)}
        </span>
        <span class="caption">
          <span class="serif">{one.name}</span>{" "}
          <span class="num">{count(one.images)}<span class="hidden"> {one.images === 1 ? "image" : "images"}</span></span>
        </span>
      </a>
      <p class="dim">
        <span>{one.description || one.encoders.map((encoder) => encoder.name).join(", ")}</span>
        <time dateTime={one.updated_at}>{one.updated_at.slice(0, 10)}</time>
        {mayWrite() && <button aria-label={`Delete ${one.name}`} title="Delete" onClick={() => remove(one.name)}>×</button>}
      </p>
    </article>
  );
}
