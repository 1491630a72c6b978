// What a body or an answer holds: its fields in a table, and those within them below, opened by a click.
import { Prose } from "./prose";
import type { Document, Schema } from "./document";
import { mentioned, nameOf, resolved, typeOf } from "./document";

export function SchemaView({ document, schema, above = [] }: { document: Document; schema: Schema; above?: string[] }) {
  const told = resolved(document, schema);
  const names = schema.$ref ? [...above, nameOf(schema)] : above;
  const inner = told.properties ? Object.values(told.properties).flatMap(mentioned) : mentioned(told);
  const shown = [...new Map(inner.map((one) => [nameOf(one), one])).values()].filter((one) => !names.includes(nameOf(one)));
  return (
    <div class="schema">
      {told.description && <Prose text={told.description} />}
      {told.properties ? <Fields schema={told} /> : !schema.$ref && <p class="dim">{typeOf(schema)}</p>}
      {shown.map((one) => (
        <details key={nameOf(one)}>
          <summary>{nameOf(one)}</summary>
          <SchemaView document={document} schema={one} above={names} />
        </details>
      ))}
    </div>
  );
}

function Fields({ schema }: { schema: Schema }) {
  return (
    <dl class="fields">
      {Object.entries(schema.properties ?? {}).map(([name, one]) => (
        <div key={name}>
          <dt>
            <code>{name}</code>
            {schema.required?.includes(name) && <span class="dim"> needed</span>}
          </dt>
          <dd>
            <span class="dim">
              {typeOf(one)}
              {one.default !== undefined && one.default !== null && ` · ${JSON.stringify(one.default)} if left out`}
            </span>
            {one.description && <Prose text={one.description} />}
          </dd>
        </div>
      ))}
    </dl>
  );
}
