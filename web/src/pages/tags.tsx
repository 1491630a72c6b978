// Tags: all there are, what their taggers are worth, and the way into labelling.
import { useEffect, useState } from "preact/hooks";
import { TagDetail } from "../parts/tags/tag-detail";
import { address, go, route } from "../state/route";
import { mayWrite } from "../state/session";
import { followTags, lines, tag } from "../state/tags";
import { count, short } from "../state/words";

export function Tags() {
  const { category } = route.value;
  const [word, setWord] = useState("");
  useEffect(followTags, []);
  if (category === null) return null;
  const all = lines.value;
  if (all === null) return <main aria-busy="true" />;
  const wanted = all.filter((line) => line.tag.toLowerCase().includes(word.toLowerCase()));
  const same = all.find((line) => line.tag === word.trim()) ?? null;
  const chosen = all.find((line) => line.tag === tag.value) ?? null;
  return (
    <main class="tags-page">
      <aside class="tag-list" aria-label="Tags">
        <form
          class="field"
          onSubmit={(event) => {
            event.preventDefault();
            const found = same ?? (wanted.length === 1 ? wanted[0]! : null);
            if (found !== null) go(address("tags", category, [found.tag]));
            else if (word.trim() && wanted.length === 0 && mayWrite()) go(address("label", category, [word.trim()]));
          }}
        >
          <input aria-label="Find or make a tag" placeholder={mayWrite() ? "Find a tag, or type a new one" : "Find a tag"} value={word} onInput={(event) => setWord(event.currentTarget.value)} />
        </form>
        {word.trim() && same === null && mayWrite() && <a class="pill" href={address("label", category, [word.trim()])}>Label {word.trim()}</a>}
        <ul>
          {wanted.map((line) => (
            <li key={line.tag}>
              <a href={address("tags", category, [line.tag])} aria-current={line.tag === tag.value ? "true" : undefined}>
                <span>{line.tag}</span>
                {line.tagger !== null && <small class="dim num" title="Average precision">{short(Number(line.tagger.metrics["average_precision"] ?? 0))}</small>}
                <em class="num">{count(line.count)}</em>
              </a>
            </li>
          ))}
        </ul>
      </aside>
      {chosen !== null ? (
        <TagDetail category={category} line={chosen} />
      ) : (
        <div class="empty">
          <span class="serif">{all.length > 0 ? "Choose a tag" : "No tags yet"}</span>
          <p>{all.length > 0 ? "The numbers are its tagger's average precision, and its images." : "Type one at the left and label a few images: a tagger learns it."}</p>
        </div>
      )}
    </main>
  );
}
