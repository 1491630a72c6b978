// The form that starts any job: its kind, what it needs, and behind a fold every option with its default.
import { useEffect, useState } from "preact/hooks";
import type { Kind, Parameter } from "../../state/jobs";
import { kinds, readKinds, start } from "../../state/jobs";
import { ApiError, call } from "../../api/client";
import type { Schemas } from "../../api/client";
import { fail } from "../../state/notices";

const REPEATS: [string, number | null][] = [
  ["once", null],
  ["every 10 minutes", 600],
  ["every hour", 3_600],
  ["every 6 hours", 21_600],
  ["every day", 86_400],
  ["every week", 604_800],
];

/** What is typed for a parameter: a text, a tick, or a file that is sent. */
type Given = string | boolean | { name: string; text: string };

export function StartJob({ close }: { close: () => void }) {
  const [name, setName] = useState("");
  const [given, setGiven] = useState<Record<string, Given>>({});
  const [every, setEvery] = useState<number | null>(null);
  const [wrong, setWrong] = useState("");
  const [categories, setCategories] = useState<string[]>([]);
  useEffect(() => {
    void readKinds();
    call<Schemas["CategoriesOut"]>("GET", "/v1/categories").then((found) => setCategories(found.categories.map((one) => one.name)), fail);
  }, []);
  if (kinds.value === null) return <section class="job" aria-busy="true" />;
  const kind = kinds.value.kinds.find((one) => one.name === name) ?? null;
  const first = kind?.parameters.filter((one) => one.required || one.role === "category" || one.role === "source") ?? [];
  const others = kind?.parameters.filter((one) => !first.includes(one)) ?? [];
  const field = (one: Parameter) => (
    <Field
      key={`${name} ${one.name}`}
      one={one}
      value={given[one.name]}
      categories={one.role === "category" || (one.name === "name" && kind?.name.startsWith("category-")) ? categories : null}
      folders={one.role === "source" || one.role === "file" ? kinds.value!.folders : []}
      set={(value) => setGiven({ ...given, [one.name]: value })}
    />
  );
  async function submit(event: Event) {
    event.preventDefault();
    if (kind === null) return;
    try {
      await start(kind.name, valuesOf(kind, given), every);
      close();
    } catch (error) {
      if (error instanceof ApiError && error.status !== 401) setWrong(error.message);
      else fail(error);
    }
  }
  return (
    <form class="job start-job" aria-label="Start a job" onSubmit={(event) => void submit(event)}>
      <h2 class="serif">Start a job</h2>
      <label class="line">
        <span>Kind</span>
        <select
          required
          value={name}
          onChange={(event) => {
            setName(event.currentTarget.value);
            setGiven({});
            setWrong("");
          }}
        >
          <option value="">Choose what is to be done</option>
          {kinds.value.kinds.map((one) => (
            <option key={one.name} value={one.name}>{one.name.replaceAll("-", " ")}</option>
          ))}
        </select>
      </label>
      {kind && <p class="dim">{kind.help}</p>}
      {first.map(field)}
      {others.length > 0 && (
        <details>
          <summary>Options</summary>
          {others.map(field)}
        </details>
      )}
      {kind && (
        <label class="line">
          <span>Repeat</span>
          <select value={String(every)} onChange={(event) => setEvery(REPEATS[event.currentTarget.selectedIndex]![1])}>
            {REPEATS.map(([words, seconds]) => (
              <option key={words} value={String(seconds)}>{words}</option>
            ))}
          </select>
          <small class="dim">So long after each end it starts again, until the job that waits is cancelled.</small>
        </label>
      )}
      {wrong && <p class="error" role="alert">{wrong}</p>}
      <p class="actions">
        <button class="pill solid" disabled={kind === null}>Start</button>
        <button class="pill" type="button" onClick={close}>Leave</button>
      </p>
    </form>
  );
}

interface FieldProps {
  one: Parameter;
  value: Given | undefined;
  categories: string[] | null;
  folders: string[];
  set: (value: Given) => void;
}

function Field({ one, value, categories, folders, set }: FieldProps) {
  const [list] = useState(() => `list-${one.name}`);
  const text = typeof value === "string" ? value : "";
  const title = one.name.replaceAll("_", " ");
  if (one.type === "boolean") {
    const on = typeof value === "boolean" ? value : one.default === true;
    return (
      <label class="line tick" title={one.help}>
        <span>{title}</span>
        <input type="checkbox" checked={on} onChange={(event) => set(event.currentTarget.checked)} />
        <small class="dim">{one.help}</small>
      </label>
    );
  }
  const offered = categories ?? (folders.length > 0 ? [...folders, ...(one.role === "source" ? ["objects:"] : [])] : []);
  return (
    <label class="line">
      <span>{title}</span>
      {one.choices.length > 0 && !one.several ? (
        <select required={one.required} value={text || String(one.default ?? "")} onChange={(event) => set(event.currentTarget.value)}>
          {one.default === null && <option value="">as it comes</option>}
          {one.choices.map((choice) => (
            <option key={choice}>{choice}</option>
          ))}
        </select>
      ) : (
        <span class="entry">
          <input
            type={one.several || one.type === "string" ? "text" : "number"}
            step={one.type === "integer" ? 1 : "any"}
            min={one.minimum ?? undefined}
            max={one.maximum ?? undefined}
            required={one.required && typeof value !== "object"}
            list={offered.length > 0 ? list : undefined}
            placeholder={typeof value === "object" ? value.name : placeholderOf(one)}
            value={text}
            onInput={(event) => set(event.currentTarget.value)}
          />
          {offered.length > 0 && (
            <datalist id={list}>
              {offered.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          )}
          {one.role === "file" && !one.several && (
            <input
              type="file"
              aria-label={`A file for ${title}`}
              onChange={(event) => {
                const file = event.currentTarget.files?.[0];
                if (file) file.text().then((read) => set({ name: file.name, text: read }), fail);
              }}
            />
          )}
        </span>
      )}
      <small class="dim">{one.help}</small>
    </label>
  );
}

function placeholderOf(one: Parameter): string {
  if (one.role === "source") return "objects:PREFIX or folder:NAME";
  if (Array.isArray(one.default)) return one.default.join(", ");
  return one.default === null ? "" : String(one.default);
}

/** What is sent: only what differs from the default, each of its type. */
function valuesOf(kind: Kind, given: Record<string, Given>): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const one of kind.parameters) {
    const value = given[one.name];
    if (value === undefined || value === "" || value === one.default) continue;
    if (typeof value !== "string") found[one.name] = value;
    else if (one.several) found[one.name] = value.split(",").map((part) => part.trim()).filter(Boolean).map((part) => typed(one, part));
    else found[one.name] = typed(one, value);
  }
  return found;
}

function typed(one: Parameter, text: string): unknown {
  return one.type === "integer" || one.type === "number" ? Number(text) : text;
}
