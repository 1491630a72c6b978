// One image at the right: what it is, why it is here, what is near it, and what people and taggers say.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf, thumbnail } from "../../api/client";
import type { Image } from "../../state/image";
import { change, imageChanges, nearest, readImage, similarities } from "../../state/image";
import { useKeys } from "../../state/keys";
import { fail } from "../../state/notices";
import { ask, askFor } from "../../state/results";
import { address } from "../../state/route";
import type { GridHit, GridSource } from "../../state/source";
import { mayWrite } from "../../state/session";
import { bytes, count, short } from "../../state/words";
import { TagEditor } from "./tag-editor";

interface Props {
  category: string;
  id: string;
  source: GridSource;
  show: (id: string | null) => void;
  look: (at: number) => void;
}

export function ImagePanel({ category, id, source, show, look }: Props) {
  const [image, setImage] = useState<Image | null>(null);
  const at = positionOf(source, id);
  useEffect(() => {
    const own = new AbortController();
    readImage(category, id, own.signal).then(setImage, (error: unknown) => {
      if (isAbort(error)) return;
      fail(error);
      setImage(null);
    });
    return () => own.abort();
  }, [category, id, imageChanges.value]);
  const step = (by: number) => () => at >= 0 && source.id(at + by) && show(source.id(at + by));
  useKeys("Image", [
    { keys: "Escape", does: "Close the image", run: () => show(null) },
    { keys: "n", does: "All that are near it", run: () => askFor({ ...ask.peek(), text: "", like: [id], unlike: [], sort: null }) },
    { keys: "j PageDown", does: "Next image", run: step(1), when: () => at < source.count - 1 },
    { keys: "k PageUp", does: "Image before", run: step(-1), when: () => at > 0 },
  ]);

  const away = <button class="close icon" aria-label="Close the image" onClick={() => show(null)}>×</button>;
  if (image === null) return <aside class="image-panel" aria-label="Image">{away}</aside>;
  const payload = image.payload;
  const title = (payload["class"] as string | undefined) ?? String(payload["filename"] ?? id).replace(/^.*\//, "");
  return (
    <aside class="image-panel" aria-label={`Image ${title}`}>
      {away}
      <button class="picture" aria-label="Look at it large" onClick={() => at >= 0 && look(at)}>
        <img src={thumbnail(category, id, 640)} alt={title} width={Number(payload["width"])} height={Number(payload["height"])}
          style={{ backgroundColor: (payload["colour"] as string | undefined) ?? "" }} />
      </button>
      <h2 class="serif">
        {title.replaceAll("_", " ")}{" "}
        {at >= 0 && <small class="dim num">{count(at + 1)} of {count(source.count)}</small>}
      </h2>
      <p class="dim id" title={id}>{id}</p>
      <Facts category={category} image={image} similarity={at >= 0 ? source.similarity(at) : null} />
      <TagEditor category={category} image={image} done={setImage} />
      <Why category={category} id={id} />
      <Nearest category={category} id={id} show={show} />
      <Scores category={category} payload={payload} />
      <Editable category={category} image={image} done={setImage} />
      <details>
        <summary>All that is stored</summary>
        <pre tabIndex={0}>{JSON.stringify(payload, null, 2)}</pre>
      </details>
    </aside>
  );
}

function Facts({ category, image, similarity }: { category: string; image: Image; similarity: number | null }) {
  const { payload } = image;
  const clusters = (payload["clusters"] ?? {}) as Record<string, { path?: string[] }>;
  return (
    <dl class="facts">
      {similarity !== null && (<><dt>Similarity</dt><dd class="num">{similarity.toFixed(3)}</dd></>)}
      {Object.entries(clusters).map(([key, node]) => {
        const path = node.path ?? [];
        const run = key.replace(/-\d+$/, "");
        return path.length ? (
          <>
            <dt>{run}</dt>
            <dd>
              {path.slice(1).map((one, depth) => (
                <>
                  {depth > 0 && " › "}
                  <a href={address("clusters", category, [run, one])}>{one}</a>
                </>
              ))}
            </dd>
          </>
        ) : null;
      })}
      <dt>Size</dt>
      <dd class="num">{String(payload["width"])} × {String(payload["height"])} · {bytes(Number(payload["bytes"]))}</dd>
      <dt>File</dt>
      <dd title={String(payload["filename"])}>
        <a href={image.urls.file} target="_blank" rel="noreferrer">{String(payload["filename"] ?? "open")}</a>
      </dd>
      {payload["duplicate_group"] !== undefined && (
        <><dt>Copies</dt><dd><a href={address("duplicates", category, [groupOf(payload["duplicate_group"])])}>see its group</a></dd></>
      )}
    </dl>
  );
}

/** How near it is to each example, and which tags it shares with them. */
function Why({ category, id }: { category: string; id: string }) {
  const { like, unlike, using } = ask.value;
  const [near, setNear] = useState<(number | null)[]>([]);
  const examples = [...like, ...unlike];
  useEffect(() => {
    if (examples.length === 0) return;
    const own = new AbortController();
    similarities(category, id, examples, using, own.signal).then(setNear, (error: unknown) => isAbort(error) || fail(error));
    return () => own.abort();
  }, [category, id, examples.join(), using]);
  if (examples.length === 0) return null;
  return (
    <section>
      <h3>Why here <span class="dim">nearer is longer</span></h3>
      <ul class="why">
        {examples.map((example, at) => {
          const against = at >= like.length;
          const value = near[at] ?? null;
          return (
            <li key={example}>
              <span>{against ? "− example" : `+ example ${at + 1}`}</span>
              <i class="meter"><b class={against ? "against" : ""} style={{ width: `${Math.max(0, value ?? 0) * 100}%` }} /></i>
              <span class="num">{value === null ? "" : short(value)}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Nearest({ category, id, show }: { category: string; id: string; show: (id: string) => void }) {
  const [hits, setHits] = useState<GridHit[]>([]);
  const { using } = ask.value;
  useEffect(() => {
    const own = new AbortController();
    nearest(category, id, using, own.signal).then(setHits, (error: unknown) => isAbort(error) || fail(error));
    return () => own.abort();
  }, [category, id, using]);
  return (
    <section>
      <h3>Nearest <span class="dim"><kbd>N</kbd> opens all</span></h3>
      <div class="nearest">
        {hits.map((hit) => (
          <button key={hit.id} onClick={() => show(hit.id)} aria-label={`Similarity ${short(hit.similarity ?? 0)}`}>
            <img src={thumbnail(category, hit.id, 160)} alt="" style={{ backgroundColor: (hit.payload["colour"] as string | undefined) ?? "" }} />
          </button>
        ))}
      </div>
    </section>
  );
}

/** What taggers say, as bars with a mark at the score from which they propose the tag. */
function Scores({ category, payload }: { category: string; payload: Record<string, unknown> }) {
  const scores = Object.entries((payload["scores"] ?? {}) as Record<string, number>).sort((a, b) => b[1] - a[1]);
  const [thresholds, setThresholds] = useState<Record<string, number>>({});
  useEffect(() => {
    if (scores.length === 0) return;
    const own = new AbortController();
    call<Schemas["TaggersOut"]>("GET", pathOf(category, "taggers"), { signal: own.signal }).then(
      (answer) => setThresholds(Object.fromEntries(answer.taggers.map((one) => [one.tag, one.threshold ?? 0.5]))),
      (error: unknown) => isAbort(error) || fail(error),
    );
    return () => own.abort();
  }, [category]);
  if (scores.length === 0) return null;
  return (
    <section>
      <h3>Scores</h3>
      <ul class="why">
        {scores.slice(0, 12).map(([tag, score]) => (
          <li key={tag}>
            <span>{tag}</span>
            <i class="meter">
              <b style={{ width: `${score * 100}%` }} />
              {thresholds[tag] !== undefined && <u style={{ left: `${thresholds[tag]! * 100}%` }} />}
            </i>
            <span class="num">{short(score)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** Class, caption and quality, changed in place. */
function Editable({ category, image, done }: { category: string; image: Image; done: (image: Image) => void }) {
  if (!mayWrite()) return null;
  const field = (name: "class" | "caption", label: string) => (
    <label class="field">
      <span class="dim">{label}</span>
      <input
        key={`${image.id}${String(image.payload[name])}`}
        defaultValue={String(image.payload[name] ?? "")}
        onChange={(event) => {
          const value = event.currentTarget.value.trim() || null;
          void change(category, image.id, { [name]: value }, `${label} changed`).then((now) => now && done(now));
        }}
      />
    </label>
  );
  const quality = image.payload["quality"];
  return (
    <div class="editable">
      {field("class", "Class")}
      {field("caption", "Caption")}
      <label class="field">
        <span class="dim">Quality</span>
        <input
          key={`${image.id}${String(quality)}`}
          type="number"
          min="0"
          max="1"
          step="any"
          placeholder="0 to 1"
          defaultValue={typeof quality === "number" ? String(quality) : ""}
          onChange={(event) => {
            if (!event.currentTarget.reportValidity()) return;
            const value = event.currentTarget.value === "" ? null : event.currentTarget.valueAsNumber;
            void change(category, image.id, { quality: value }, "Quality changed").then((now) => now && done(now));
          }}
        />
      </label>
    </div>
  );
}

/** `2-1.3` is the third picture of group 2-1; while groups are replaced, an image has two. */
function groupOf(value: unknown): string {
  const last = Array.isArray(value) ? value.at(-1) : value;
  return String(last).replace(/\..*$/, "");
}

function positionOf(source: GridSource, id: string): number {
  for (let at = 0; at < Math.min(source.count, 20_000); at += 1) if (source.id(at) === id) return at;
  return -1;
}
