// The API: its operations, what each takes and gives, and a form to try it.
import { useEffect, useState } from "preact/hooks";
import { call } from "../api/client";
import type { Document, Operation } from "../docs/document";
import { answerOf, bodyOf, documentOf } from "../docs/document";
import { Prose } from "../docs/prose";
import { SchemaView } from "../docs/schema";
import { Try } from "../docs/try";
import { fail } from "../state/notices";
import { address, route } from "../state/route";

export function Docs() {
  const [document, setDocument] = useState<Document | null>(null);
  useEffect(() => {
    call<Record<string, unknown>>("GET", "/openapi.json").then((tree) => setDocument(documentOf(tree)), fail);
  }, []);
  if (document === null) return <main aria-busy="true" />;
  const chosen = document.operations.find((one) => one.operationId === route.value.rest[0]) ?? null;
  return (
    <main class="docs">
      <Operations document={document} chosen={chosen} />
      <div class="told" key={chosen?.operationId} tabIndex={0}>
        {chosen ? <Told document={document} operation={chosen} /> : <Welcome document={document} />}
      </div>
    </main>
  );
}

function Operations({ document, chosen }: { document: Document; chosen: Operation | null }) {
  const tags = [...new Set(document.operations.flatMap((one) => one.tags))];
  return (
    <nav class="operations" aria-label="Operations" tabIndex={0}>
      <a href={address("docs", null)} aria-current={chosen ? undefined : "page"}>
        Overview
      </a>
      {tags.map((tag) => (
        <section key={tag}>
          <h2>{inWords(tag)}</h2>
          {document.operations
            .filter((one) => one.tags.includes(tag))
            .map((one) => (
              <a key={one.operationId} href={address("docs", null, [one.operationId])} aria-current={one === chosen ? "page" : undefined}>
                {inWords(one.operationId)}
              </a>
            ))}
        </section>
      ))}
    </nav>
  );
}

function Welcome({ document }: { document: Document }) {
  return (
    <article>
      <h1 class="serif">
        {document.title}’s API <small class="dim num">{document.version}</small>
      </h1>
      <Prose text={document.description} />
      <p>
        <a class="link" href="/openapi.json" target="_blank" rel="noopener">
          openapi.json
        </a>{" "}
        is the same for programs.
      </p>
      <ul class="all">
        {document.operations.map((one) => (
          <li key={one.operationId}>
            <a href={address("docs", null, [one.operationId])}>
              <b>{one.method}</b>
              <code>{one.path}</code>
            </a>
            <span class="dim">{firstSentence(one.description)}</span>
          </li>
        ))}
      </ul>
    </article>
  );
}

/** `list_images` as `List images`. */
function inWords(id: string): string {
  return id.charAt(0).toUpperCase() + id.slice(1).replaceAll("_", " ");
}

function firstSentence(text: string): string {
  return text.split(/(?<=[.:])\s/, 1)[0]!.replace(/:$/, ".").replaceAll("`", "");
}

function Told({ document, operation }: { document: Document; operation: Operation }) {
  const { json, form } = bodyOf(document, operation);
  const answer = answerOf(operation);
  return (
    <article>
      <h1>
        <b>{operation.method}</b> <code>{operation.path}</code>
      </h1>
      {operation.deprecated && <p class="dim">For programs of older systems.</p>}
      <Prose text={operation.description} />
      <h2>Try it</h2>
      <Try key={operation.operationId} document={document} operation={operation} />
      {json && (
        <>
          <h2>Body</h2>
          <SchemaView document={document} schema={json} />
        </>
      )}
      {form && (
        <>
          <h2>Form</h2>
          <SchemaView document={document} schema={form} />
        </>
      )}
      {answer && (
        <>
          <h2>Answer</h2>
          <SchemaView document={document} schema={answer} />
        </>
      )}
    </article>
  );
}
