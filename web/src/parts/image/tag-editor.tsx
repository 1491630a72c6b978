// The tags of an image: taken away by their ×, added by a field that proposes the category's tags.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf } from "../../api/client";
import type { Image } from "../../state/image";
import { change } from "../../state/image";
import { fail } from "../../state/notices";
import { mayWrite } from "../../state/session";

export function TagEditor({ category, image, done }: { category: string; image: Image; done: (image: Image) => void }) {
  const tags = (image.payload["tags"] ?? []) as string[];
  const proposed = ((image.payload["machine_tags"] ?? []) as string[]).filter((tag) => !tags.includes(tag));
  async function set(changes: Record<string, unknown>, text: string) {
    const now = await change(category, image.id, changes, text);
    if (now) done(now);
  }
  return (
    <div class="tags" aria-label="Tags">
      {tags.map((tag) => (
        <span class="chip" key={tag}>
          {tag}
          {mayWrite() && (
            <button aria-label={`Take away ${tag}`} onClick={() => void set({ remove_tags: [tag] }, `Took away ${tag}`)}>
              ×
            </button>
          )}
        </span>
      ))}
      {proposed.map((tag) => (
        <button class="chip proposed" key={tag} title="A tagger proposes it" onClick={() => void set({ add_tags: [tag] }, `Tagged ${tag}`)}>
          {tag}?
        </button>
      ))}
      {mayWrite() && <TagField category={category} label="+ tag" enter={(tag) => void set({ add_tags: [tag] }, `Tagged ${tag}`)} />}
    </div>
  );
}

/** A field for one tag, with those that the category has. */
export function TagField(props: { category: string; label: string; enter: (tag: string) => void; focus?: boolean }) {
  const [known, setKnown] = useState<string[] | null>(null);
  const [asked, ask] = useState(false);
  useEffect(() => {
    if (!asked && !props.focus) return;
    const own = new AbortController();
    call<Schemas["FacetsOut"]>("GET", `${pathOf(props.category, "facets", "tags")}?limit=500`, { signal: own.signal }).then(
      (answer) => setKnown(answer.values.map((one) => String(one.value))),
      (error: unknown) => isAbort(error) || fail(error),
    );
    return () => own.abort();
  }, [props.category, asked]);
  return (
    <form
      class="tag-field"
      onSubmit={(event) => {
        event.preventDefault();
        const field = event.currentTarget.elements.namedItem("tag") as HTMLInputElement;
        const tag = field.value.trim();
        if (tag) props.enter(tag);
        field.value = "";
      }}
    >
      <input name="tag" list="known-tags" placeholder={props.label} aria-label="Tag" autocomplete="off" autofocus={props.focus} onFocus={() => ask(true)} />
      <datalist id="known-tags">{known?.map((tag) => <option key={tag} value={tag} />)}</datalist>
    </form>
  );
}
