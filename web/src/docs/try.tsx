// The form of an operation: what it takes, the request as curl, and the answer.
import { useEffect, useState } from "preact/hooks";
import type { Request } from "../api/client";
import { ApiError, bytes, isAbort, Latest, session } from "../api/client";
import { fail } from "../state/notices";
import type { Document, Filled, Operation, Parameter, Schema } from "./document";
import { addressOf, bodyOf, curlOf, examplesOf, formValues, typeOf } from "./document";
import { Prose } from "./prose";

interface Answer {
  status: string;
  text: string;
  picture: string | null;
}

const MOST_SHOWN = 200_000;
/** Parts of paths, such as the category, stay as they were filled in when another operation is looked at. */
const places: Record<string, string> = {};

export function Try({ document, operation }: { document: Document; operation: Operation }) {
  const { json, form } = bodyOf(document, operation);
  const examples = json ? examplesOf(document, json) : [];
  const [asForm, setAsForm] = useState(json === null && form !== null);
  const [filled, setFilled] = useState<Filled>({ values: { ...places }, json: json ? pretty(examples[0]) : "", files: {} });
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [latest] = useState(() => new Latest());
  useEffect(() => () => latest.stop(), []);
  useEffect(() => () => void (answer?.picture && URL.revokeObjectURL(answer.picture)), [answer]);

  function fill(part: string, value: string) {
    if (part.startsWith("path.")) places[part] = value;
    setFilled((now) => ({ ...now, values: { ...now.values, [part]: value } }));
  }
  const shownForm = asForm ? form : null;

  async function send(event: Event) {
    event.preventDefault();
    try {
      setAnswer(await latest.run((signal) => ask(operation, filled, shownForm, signal)));
    } catch (error) {
      if (!isAbort(error)) fail(error);
    }
  }
  const asked = operation.parameters.filter((one) => one.in === "path" || one.in === "query");
  return (
    <form class="try" onSubmit={(event) => void send(event)}>
      {asked.map((one) => (
        <Input key={one.name} parameter={one} value={filled.values[`${one.in}.${one.name}`] ?? ""} fill={(value) => fill(`${one.in}.${one.name}`, value)} />
      ))}
      {json && form && (
        <label class="line">
          <span>
            <code>body</code>
          </span>
          <select value={asForm ? "form" : "json"} onChange={(event) => setAsForm(event.currentTarget.value === "form")}>
            <option value="json">as JSON</option>
            <option value="form">as a form with files</option>
          </select>
        </label>
      )}
      {shownForm &&
        Object.entries(shownForm.properties ?? {}).map(([field, schema]) => (
          <FormField
            key={field}
            field={field}
            schema={schema}
            value={filled.values[`form.${field}`] ?? ""}
            fill={(value) => fill(`form.${field}`, value)}
            choose={(files) => setFilled((now) => ({ ...now, files: { ...now.files, [field]: files } }))}
          />
        ))}
      {json && !asForm && (
        <>
          {examples.length > 1 && (
            <div class="code-tabs">
              {examples.map((one, at) => (
                <button key={at} type="button" class="pill" onClick={() => setFilled((now) => ({ ...now, json: pretty(one) }))}>
                  Example {at + 1}
                </button>
              ))}
            </div>
          )}
          <textarea
            class="code"
            aria-label="Body as JSON"
            spellcheck={false}
            rows={Math.min(24, filled.json.split("\n").length + 1)}
            value={filled.json}
            onInput={(event) => {
              const { value } = event.currentTarget;
              setFilled((now) => ({ ...now, json: value }));
            }}
          />
        </>
      )}
      <pre class="code" tabIndex={0} aria-label="The request as curl">
        {curlOf(location.origin, operation, shownForm ? filled : { ...filled, json: json ? filled.json : "" }, shownForm, session.value.needed)}
      </pre>
      <button class="pill send" type="submit">
        Send
      </button>
      {answer && (
        <section aria-label="Answer" aria-live="polite">
          <h3>{answer.status}</h3>
          {answer.picture && <img src={answer.picture} alt="The answer is a picture" />}
          {answer.text && (
            <pre class="code" tabIndex={0}>
              {answer.text}
            </pre>
          )}
        </section>
      )}
    </form>
  );
}

function Input({ parameter, value, fill }: { parameter: Parameter; value: string; fill: (value: string) => void }) {
  const schema = parameter.schema ?? {};
  const choices = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
  return (
    <label class="line">
      <span>
        <code>{parameter.name}</code> <small class="dim">{parameter.required ? "needed" : typeOf(schema)}</small>
      </span>
      {choices ? (
        <select value={value} required={parameter.required} onChange={(event) => fill(event.currentTarget.value)}>
          <option value="">{schema.default === undefined ? "" : `${String(schema.default)} if left out`}</option>
          {choices.map((one) => (
            <option key={String(one)}>{String(one)}</option>
          ))}
        </select>
      ) : (
        <input
          value={value}
          required={parameter.required}
          placeholder={placeholderOf(parameter)}
          onInput={(event) => fill(event.currentTarget.value)}
        />
      )}
      {parameter.description && <Prose text={parameter.description} />}
    </label>
  );
}

function placeholderOf({ schema, example }: Parameter): string {
  if (schema?.type === "object") return "tag=red&width.gte=100";
  if (schema?.default !== undefined && schema.default !== null) return String(schema.default);
  return example === undefined ? "" : String(example);
}

interface FieldProps {
  field: string;
  schema: Schema;
  value: string;
  fill: (value: string) => void;
  choose: (files: File[]) => void;
}

function FormField({ field, schema, value, fill, choose }: FieldProps) {
  const isFile = [schema, schema.items ?? {}].some((one) => one.format === "binary");
  return (
    <label class="line">
      <span>
        <code>{field}</code> <small class="dim">{typeOf(schema)}</small>
      </span>
      {isFile ? (
        <input type="file" multiple={schema.type === "array"} onChange={(event) => choose([...(event.currentTarget.files ?? [])])} />
      ) : (
        <input value={value} onInput={(event) => fill(event.currentTarget.value)} />
      )}
      {schema.description && <Prose text={schema.description} />}
    </label>
  );
}

async function ask(operation: Operation, filled: Filled, form: Schema | null, signal: AbortSignal): Promise<Answer> {
  const request: Request = { signal };
  try {
    if (form) {
      request.form = new FormData();
      for (const [field, value] of formValues(form, filled)) request.form.append(field, value);
    } else if (operation.requestBody && filled.json.trim()) {
      request.json = JSON.parse(filled.json);
    }
  } catch (error) {
    return { status: "Not sent: the body is no JSON", text: String(error), picture: null };
  }
  const began = performance.now();
  try {
    const answer = await bytes(operation.method, addressOf(operation, filled), request);
    return await shown(answer, Math.round(performance.now() - began));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const told = { code: error.code, detail: error.message, details: error.details };
    return { status: error.status ? `${error.status}` : "No answer", text: pretty(told), picture: null };
  }
}

async function shown(answer: Response, milliseconds: number): Promise<Answer> {
  const kind = answer.headers.get("Content-Type") ?? "";
  const status = `${answer.status} · ${milliseconds} ms${kind ? ` · ${kind}` : ""}`;
  if (kind.startsWith("image/")) return { status, text: "", picture: URL.createObjectURL(await answer.blob()) };
  const text = await answer.text();
  const tidy = /json/.test(kind) ? pretty(JSON.parse(text)) : text;
  return { status, text: tidy.length > MOST_SHOWN ? `${tidy.slice(0, MOST_SHOWN)}\n…` : tidy, picture: null };
}

function pretty(tree: unknown): string {
  return JSON.stringify(tree, null, 2);
}
