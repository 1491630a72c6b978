// Labelling: is this one it? One picture at a time, or nine.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { thumbnail } from "../api/client";
import { focusIsOn, useKeys } from "../state/keys";
import { answer, answerNine, begin, finished, labelled, labels, marked, markOfNine, queue, said, takeBack, train, trained, training } from "../state/labelling";
import { address, route } from "../state/route";
import type { GridHit } from "../state/source";
import { count, counted, short } from "../state/words";

const nine = signal(false);

export function Label() {
  const { category, rest } = route.value;
  const tag = rest[0] ?? null;
  useEffect(() => {
    if (category !== null && tag !== null) begin(category, tag);
  }, [category, tag]);
  const rows = queue.value.slice(0, 9);
  useKeys("Labelling", [
    { keys: "y ArrowRight", does: "Yes, it is", run: () => answer("yes"), when: () => !nine.value },
    { keys: "n ArrowLeft", does: "No, it is not", run: () => answer("no"), when: () => !nine.value },
    { keys: "s ArrowDown", does: "Skip it", run: () => answer("skip", nine.value ? 9 : 1) },
    { keys: "z Ctrl+z", does: "Take the last answer back", run: takeBack },
    { keys: "Enter", does: "The rest of the nine are it", run: answerNine, when: () => nine.value && focusIsOn(".nine button") },
    { keys: "1 2 3 4 5 6 7 8 9", does: "This one of the nine is not it", run: (event) => markOfNine(Number(event.key) - 1), when: () => nine.value },
    { keys: "g", does: "One at a time, or nine", run: () => (nine.value = !nine.value) },
    { keys: "t", does: "Train now", run: () => void train() },
  ]);
  if (category === null || tag === null) return null;
  return (
    <main class="label-page">
      <header>
        <h1 class="serif">
          Is this <em>{tag.replaceAll("_", " ")}</em>?
        </h1>
        <Progress />
        <button class="pill" aria-pressed={nine.value} onClick={() => (nine.value = !nine.value)}>3 × 3 <kbd>G</kbd></button>
        <button class="pill" disabled={training.value} onClick={() => void train()}>Train <kbd>T</kbd></button>
        <a class="pill" href={address("tags", category, [tag])}>Done</a>
      </header>
      {rows.length === 0 && finished.value ? (
        <div class="empty">
          <span class="serif">Every image has been judged</span>
          <p>or was skipped. What was skipped is asked about when you come here again.</p>
        </div>
      ) : rows.length === 0 ? (
        <div class="empty" aria-busy="true"><span class="serif">Looking for images to ask about</span></div>
      ) : nine.value ? (
        <Nine category={category} rows={rows} />
      ) : (
        <One category={category} hit={rows[0]!} />
      )}
    </main>
  );
}

function One({ category, hit }: { category: string; hit: GridHit & { score?: number | null } }) {
  return (
    <div class="label-one">
      <img key={hit.id} src={thumbnail(category, hit.id, 640)} alt="The image to judge" style={{ backgroundColor: String(hit.payload["colour"] ?? "") }} />
      {typeof hit.score === "number" && <p class="dim num">the tagger says {short(hit.score)}</p>}
      <div class="label-buttons">
        <button class="no" onClick={() => answer("no")}>No <kbd>N</kbd></button>
        <button onClick={() => answer("skip")}>Skip <kbd>S</kbd></button>
        <button class="yes" onClick={() => answer("yes")}>Yes <kbd>Y</kbd></button>
        <button disabled={said.value.length === 0} onClick={takeBack}>Back <kbd>Z</kbd></button>
      </div>
    </div>
  );
}

function Nine({ category, rows }: { category: string; rows: GridHit[] }) {
  const no = marked.value;
  const rest = rows.filter((hit) => !no.has(hit.id)).length;
  return (
    <div class="label-nine">
      <div class="nine">
        {rows.map((hit, at) => (
          <button key={hit.id} aria-pressed={no.has(hit.id)} aria-label={`Image ${at + 1} is not it`} onClick={() => markOfNine(at)}>
            <img src={thumbnail(category, hit.id, 320)} alt="" />
            <kbd>{at + 1}</kbd>
          </button>
        ))}
      </div>
      <div class="label-buttons">
        <button onClick={() => answer("skip", 9)}>Skip all <kbd>S</kbd></button>
        <button class="yes" onClick={answerNine}>{rest === rows.length ? "All are it" : rest === 0 ? "None is it" : `The other ${rest} are it`} <kbd>↵</kbd></button>
        <button disabled={said.value.length === 0} onClick={takeBack}>Back <kbd>Z</kbd></button>
      </div>
    </div>
  );
}

/** `14 labels, AP 0.73 to 0.81, retrained in 0.2 s`. */
function Progress() {
  const last = trained.value;
  return (
    <p class="dim num" role="status">
      {counted(labelled.value, "label")}
      {labels.value !== null && ` (${count(labels.value.accepted)} yes, ${count(labels.value.rejected)} no in all)`}
      {last !== null && last.after !== null && `, AP ${last.before === null ? "" : `${short(last.before)} to `}${short(last.after)}, trained in ${short(last.seconds)} s`}
      {training.value && ", training …"}
    </p>
  );
}
