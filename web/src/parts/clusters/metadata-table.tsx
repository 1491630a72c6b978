// A table of metadata that comes later: tried first, which says what would become of each row, then written.
import { useEffect, useState } from "preact/hooks";
import type { Schemas } from "../../api/client";
import { call, isAbort, pathOf } from "../../api/client";
import { readCategory } from "../../state/category";
import { changed, fail } from "../../state/notices";
import type { Undo } from "../../state/notices";
import { count, counted } from "../../state/words";
import { Dialog } from "../frame/dialog";

type Outcome = Schemas["MetadataOut"];

const NAMES: [string, string][] = [
  ["name", "file names"],
  ["stem", "file names without ending"],
  ["key", "paths"],
  ["hash", "SHA-256"],
  ["id", "ids"],
];

interface Props {
  category: string;
  /** Called when images were changed, and when that was undone. */
  after: () => void;
  close: () => void;
}

export function MetadataTable({ category, after, close }: Props) {
  const [file, setFile] = useState<File | null>(null);
  const [on, setOn] = useState("name");
  const [overwrite, setOverwrite] = useState(false);
  const [tried, setTried] = useState<Outcome | null>(null);
  const [writing, setWriting] = useState(false);
  const send = (dry: boolean, signal?: AbortSignal) => {
    const form = new FormData();
    form.set("file", file!);
    form.set("on", on);
    form.set("overwrite", String(overwrite));
    form.set("dry_run", String(dry));
    return call<Outcome>("POST", pathOf(category, "metadata"), signal ? { form, signal } : { form });
  };
  useEffect(() => {
    setTried(null);
    if (file === null) return;
    const own = new AbortController();
    send(true, own.signal).then(setTried, (error: unknown) => isAbort(error) || fail(error));
    return () => own.abort();
  }, [file, on, overwrite]);

  async function write() {
    setWriting(true);
    try {
      const done = await send(false);
      changed(`${counted(done.updated, "image")} got what the table says`, done.undo as Undo | null, after);
      await readCategory(category); // its columns may be new
      after();
      close();
    } catch (error) {
      fail(error);
      setWriting(false);
    }
  }

  return (
    <Dialog title="Add a table" close={close}>
      <form class="table-form" onSubmit={(event) => (event.preventDefault(), void write())}>
        <label class="field">
          <span class="dim">File</span>
          <input type="file" accept=".csv,.tsv,.jsonl,.ndjson" onChange={(event) => setFile(event.currentTarget.files?.[0] ?? null)} />
        </label>
        <label class="field">
          <span class="dim">Rows are</span>
          <select value={on} onChange={(event) => setOn(event.currentTarget.value)}>
            {NAMES.map(([value, words]) => <option key={value} value={value}>{words}</option>)}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={overwrite} onChange={(event) => setOverwrite(event.currentTarget.checked)} /> Class, caption and quality of the table replace those that are there
        </label>
        <div role="status">{tried !== null ? <Tried outcome={tried} /> : file !== null && <p class="dim">Trying it …</p>}</div>
        <div class="row">
          <button class="pill main" type="submit" disabled={tried === null || tried.updated === 0 || writing}>
            {tried === null ? "Write" : `Write to ${counted(tried.updated, "image")}`}
          </button>
          <button class="pill" type="button" onClick={close}>Not now</button>
        </div>
      </form>
    </Dialog>
  );
}

/** What would become of the rows, the first of those that are not taken by name. */
function Tried({ outcome }: { outcome: Outcome }) {
  const lines: [string, number, string[]][] = [
    ["name no image", outcome.unmatched.rows, outcome.unmatched.first.map(String)],
    ["name several images", outcome.ambiguous.rows, outcome.ambiguous.first.map(String)],
    ["contradict each other", outcome.conflicting.rows, outcome.conflicting.first.map(String)],
    ["cannot be read", outcome.malformed.rows, outcome.malformed.first.map((one) => `row ${one.row}: ${one.reason}`)],
  ];
  return (
    <>
      <p>
        {counted(outcome.rows, "row")}: {count(outcome.matched)} meet {counted(outcome.images, "image")}
        {outcome.unchanged > 0 && `, of which ${count(outcome.unchanged)} say so already`}.
      </p>
      <ul class="refused">
        {lines.filter(([, rows]) => rows > 0).map(([what, rows, first]) => (
          <li key={what}>
            <b>{count(rows)} {what}</b> {first.slice(0, 5).join("; ")}{rows > 5 && " …"}
          </li>
        ))}
        {outcome.notes.map((note) => <li key={note}>{note}</li>)}
      </ul>
    </>
  );
}
