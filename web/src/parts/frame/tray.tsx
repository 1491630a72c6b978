// What can be done with what is chosen, on every page.
import { useEffect, useState } from "preact/hooks";
import { call, pathOf } from "../../api/client";
import { useKeys } from "../../state/keys";
import type { Undo } from "../../state/notices";
import { changed, fail, say } from "../../state/notices";
import type { ListFormat } from "../../state/export";
import { exportChosen } from "../../state/export";
import { afterChange } from "../../state/image";
import { ask, askFor, total } from "../../state/results";
import { route } from "../../state/route";
import { chooseAll, chosenCount, clearSelection, selection, targetOf } from "../../state/selection";
import { mayWrite } from "../../state/session";
import { count, counted } from "../../state/words";
import { Dialog } from "./dialog";
import { TagField } from "../image/tag-editor";

const MOST_EXAMPLES = 50;

interface Batch {
  changed: number;
  undo: Undo | null;
}

export function Tray() {
  const { category, page } = route.value;
  const [dialog, open] = useState<"tag" | "export" | null>(null);
  const some = chosenCount.value > 0 && category !== null;
  const onSearch = page === "search" || page === "image";
  useEffect(clearSelection, [category]);
  const has = () => chosenCount.peek() > 0;
  const writes = () => has() && mayWrite();
  useKeys("What is chosen", [
    { keys: "t", does: "Tag", run: () => open("tag"), when: writes },
    { keys: "m", does: "More like these", run: likeThese, when: () => selection.peek().kind === "ids" && has() },
    { keys: "e", does: "Export a list", run: () => open("export"), when: has },
    { keys: "Delete", does: "Delete", run: () => void remove(category!), when: writes },
    { keys: "Shift+a", does: "Choose all of this query", run: all, when: () => onSearch && (total.peek() ?? 0) > 0 },
    { keys: "Escape", does: "Choose nothing", run: clearSelection, when: has },
  ]);
  if (!some) return null;
  const now = selection.value;
  return (
    <>
      <div class="tray" role="toolbar" aria-label="What is chosen">
        <b>
          <i />
          <span class="num">{count(chosenCount.value)} selected</span>
        </b>
        {mayWrite() && <Button label="Tag" keys="T" run={() => open("tag")} />}
        {now.kind === "ids" && <Button label="More like these" keys="M" run={likeThese} />}
        <Button label="Export" keys="E" run={() => open("export")} />
        {onSearch && now.kind === "ids" && (total.value ?? 0) > 0 && <Button label={`All ${count(total.value!)}`} keys="⇧A" run={all} />}
        {mayWrite() && <Button label="Delete" keys="Del" run={() => void remove(category)} />}
        <Button label="Clear" keys="Esc" run={clearSelection} />
      </div>
      {dialog === "tag" && (
        <Dialog title={`Tag ${counted(chosenCount.value, "image")}`} close={() => open(null)}>
          <TagField
            category={category}
            label="a tag"
            focus
            enter={(tag) => {
              open(null);
              void batch(category, { action: "change", changes: { add_tags: [tag] } }, (done) => `Tagged ${counted(done.changed, "image")} ${tag}`);
            }}
          />
        </Dialog>
      )}
      {dialog === "export" && (
        <Dialog title={`Export ${counted(chosenCount.value, "image")}`} close={() => open(null)}>
          <div class="choices">
            {FORMATS.map(([format, words]) => (
              <button key={format} class="pill" onClick={() => (open(null), void exportChosen(category, format))}>
                <b>{format.toUpperCase()}</b> {words}
              </button>
            ))}
          </div>
        </Dialog>
      )}
    </>
  );
}

const FORMATS: [ListFormat, string][] = [
  ["csv", "a table: id, similarity, and a column a field"],
  ["json", "all that is stored of each"],
  ["txt", "the address of each file, a line each"],
];

function Button({ label, keys, run }: { label: string; keys: string; run: () => void }) {
  return (
    <button onClick={run}>
      {label}
      <kbd>{keys}</kbd>
    </button>
  );
}

function all(): void {
  if (total.peek() !== null) chooseAll(ask.peek(), total.peek()!);
}

function likeThese(): void {
  const now = selection.peek();
  if (now.kind !== "ids") return;
  const like = [...now.ids].slice(0, MOST_EXAMPLES);
  if (now.ids.size > MOST_EXAMPLES) say(`The first ${MOST_EXAMPLES} are the examples.`);
  clearSelection();
  askFor({ ...ask.peek(), text: "", like, unlike: [], sort: null });
}

async function remove(category: string): Promise<void> {
  await batch(category, { action: "delete" }, (done) => `Deleted ${counted(done.changed, "image")}`);
  clearSelection();
}

/** Change all that is chosen in one request, and offer to undo it. */
export async function batch(category: string, what: Record<string, unknown>, text: (done: Batch) => string): Promise<void> {
  try {
    const json = { ...what, ...targetOf(selection.peek()) };
    const done = await call<Batch>("POST", pathOf(category, "images", "batch"), { json });
    changed(text(done), done.undo, () => afterChange(category));
    afterChange(category);
  } catch (error) {
    fail(error);
  }
}
