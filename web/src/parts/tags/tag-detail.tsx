// One tag: what its tagger is worth, how its scores lie, the images in a range of them, and what can be done.
import { useState } from "preact/hooks";
import { call, pathOf, thumbnail } from "../../api/client";
import { changed, fail } from "../../state/notices";
import type { Undo } from "../../state/notices";
import { address, go, setQuery } from "../../state/route";
import { mayWrite } from "../../state/session";
import type { TagLine } from "../../state/tags";
import { curveOf } from "../../state/curve";
import { inRange, range, readTags, scores, tagger } from "../../state/tags";
import { count, counted, short } from "../../state/words";
import { Curve } from "./curve";
import { Dialog } from "../frame/dialog";
import { HistogramBrush } from "../histogram";

export function TagDetail({ category, line }: { category: string; line: TagLine }) {
  const [renaming, rename] = useState(false);
  return (
    <section class="tag-detail" aria-label={`Tag ${line.tag}`}>
      <header>
        <h1 class="serif">{line.tag.replaceAll("_", " ")}</h1>
        <span class="dim num">
          {counted(line.count, "image")}
          {line.proposed > 0 && `, ${count(line.proposed)} proposed`}
        </span>
        <a class="pill" href={address("search", category, [], `tags=${encodeURIComponent(line.tag)}`)}>See them</a>
        {mayWrite() && <a class="pill main" href={address("label", category, [line.tag])}>Label</a>}
        {mayWrite() && line.count > 0 && <button class="pill" onClick={() => rename(true)}>Rename or merge</button>}
        {mayWrite() && line.count > 0 && <button class="pill" onClick={() => void edit(category, line, null)}>Take away everywhere</button>}
      </header>
      {line.tagger === null ? (
        <p class="dim">
          No tagger yet. Label some images: it is trained from two of each kind on.
        </p>
      ) : (
        <TaggerDetail category={category} />
      )}
      {renaming && (
        <Dialog title={`Rename ${line.tag}`} close={() => rename(false)}>
          <form
            class="field"
            onSubmit={(event) => {
              event.preventDefault();
              const to = (event.currentTarget.elements.namedItem("to") as HTMLInputElement).value.trim();
              rename(false);
              if (to && to !== line.tag) void edit(category, line, to);
            }}
          >
            <input name="to" aria-label="New name" defaultValue={line.tag} maxLength={200} autofocus />
            <button class="pill main" type="submit">Rename</button>
          </form>
        </Dialog>
      )}
    </section>
  );
}

function TaggerDetail({ category }: { category: string }) {
  const now = tagger.value;
  if (now === null) return null;
  const number = (name: string) => (typeof now.metrics[name] === "number" ? (now.metrics[name] as number) : null);
  const [precision, recall] = [number("precision"), number("recall")];
  const [from, to] = range.value;
  return (
    <>
      <div class="tagger-facts">
        <Curve points={curveOf(now.metrics)} mark={precision === null || recall === null ? null : { precision, recall }} />
        <dl class="facts">
          <dt>Average precision</dt><dd class="num">{short(number("average_precision") ?? 0)}</dd>
          <dt>At the threshold</dt>
          <dd class="num">{precision === null ? "" : `precision ${short(precision)}, recall ${short(recall ?? 0)}`}</dd>
          <dt>Threshold</dt><dd class="num">{short(now.threshold)}</dd>
          <dt>Trained on</dt>
          <dd class="num">{count(now.examples["positives"] ?? 0)} with it, {count(now.examples["negatives"] ?? 0)} without</dd>
          <dt>Judged</dt><dd>{String(now.metrics["protocol"] ?? "")}</dd>
          <dt>Encoder</dt><dd>{now.using}{now.fits ? "" : " (the category has it no more: train again)"}</dd>
          <dt>Trained</dt><dd>{now.trained_at.slice(0, 16).replace("T", " ")}</dd>
        </dl>
      </div>
      <h2>Scores <span class="dim">drag a range and see it</span></h2>
      <div class="score-brush">
        <HistogramBrush
          title={`Score of ${now.tag}`}
          bins={scores.value}
          lower={from === 0 ? null : from}
          upper={to === 1 ? null : to}
          set={(from, to) => setQuery("tags", { from, to })}
        />
      </div>
      <p class="range-line">
        <b class="num">{count(inRange.value.total)}</b> <span class="dim">images score {short(from)} to {short(to)}</span>
        <a class="pill" href={address("search", category, [], `${encodeURIComponent(now.field)}.gte=${from}&${encodeURIComponent(now.field)}.lte=${to}`)}>As a search</a>
      </p>
      <div class="in-range">
        {inRange.value.hits.map((hit) => (
          <a key={hit.id} href={address("image", category, [hit.id])} aria-label="Open the image">
            <img src={thumbnail(category, hit.id, 160)} alt="" loading="lazy" style={{ backgroundColor: (hit.payload["colour"] as string | undefined) ?? "" }} />
          </a>
        ))}
      </div>
    </>
  );
}

/** Give all images of a tag another one in its place, or none. */
async function edit(category: string, line: TagLine, to: string | null): Promise<void> {
  const changes = { remove_tags: [line.tag], ...(to === null ? {} : { add_tags: [to] }) };
  const query = { filter: { tags_all: [line.tag] } };
  try {
    const done = await call<{ changed: number; undo: Undo | null }>("POST", pathOf(category, "images", "batch"), { json: { action: "change", changes, query } });
    const text = to === null ? `Took ${line.tag} from ${counted(done.changed, "image")}` : `${line.tag} is ${to} now, on ${counted(done.changed, "image")}`;
    changed(text, done.undo, () => void readTags(category));
    await readTags(category);
    if (to !== null) go(address("tags", category, [to]), true);
  } catch (error) {
    fail(error);
  }
}
