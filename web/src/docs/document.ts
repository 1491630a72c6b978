// The API's description of itself, /openapi.json, as far as the page about it reads it.
import { quote } from "../state/code";

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  examples?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header" | "cookie";
  required?: boolean;
  description?: string;
  schema?: Schema;
  example?: unknown;
}

interface Content {
  content?: Record<string, { schema?: Schema }>;
  description?: string;
}

export interface Operation {
  method: string;
  path: string;
  operationId: string;
  tags: string[];
  description: string;
  deprecated?: boolean;
  security?: unknown[];
  parameters: Parameter[];
  requestBody?: Content & { required?: boolean };
  responses: Record<string, Content>;
}

export interface Document {
  title: string;
  version: string;
  description: string;
  operations: Operation[];
  schemas: Record<string, Schema>;
}

const JSON_TYPE = "application/json";
const FORM_TYPE = "multipart/form-data";

/** Return the document, its operations in one list. */
export function documentOf(tree: Record<string, any>): Document {
  const operations: Operation[] = [];
  for (const [path, methods] of Object.entries(tree["paths"] as Record<string, Record<string, any>>)) {
    for (const [method, told] of Object.entries(methods)) {
      operations.push({
        tags: [],
        parameters: [],
        ...told,
        method: method.toUpperCase(),
        path,
        description: told["description"] ?? told["summary"] ?? "",
      } as Operation);
    }
  }
  const { title, version, description } = tree["info"];
  return { title, version, description: description ?? "", operations, schemas: tree["components"]?.schemas ?? {} };
}

/** Return the schema that a reference names, or the schema itself. */
export function resolved(document: Document, schema: Schema): Schema {
  return schema.$ref ? (document.schemas[nameOf(schema)] ?? {}) : schema;
}

/** Return the name of the schema that a reference points to. */
export function nameOf(schema: Schema): string {
  return schema.$ref?.split("/").at(-1) ?? "";
}

/** Return what a value must be, in a few words: `list of text`, `SearchBody`, `"read" or "write"`. */
export function typeOf(schema: Schema): string {
  if (schema.$ref) return nameOf(schema);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const several = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (several) return [...new Set(several.map(typeOf))].join(" or ");
  const types = [schema.type ?? "anything"].flat();
  return types.map((type) => (type === "array" ? `list of ${typeOf(schema.items ?? {})}` : wordOf(type, schema))).join(" or ");
}

function wordOf(type: string, schema: Schema): string {
  if (type === "string") return schema.format === "binary" ? "file" : schema.format ? `text (${schema.format})` : "text";
  if (type === "boolean") return "true or false";
  if (type === "integer") return "whole number";
  return type;
}

/** Return the schemas that a schema mentions, those within lists, alternatives and values of objects included. */
export function mentioned(schema: Schema): Schema[] {
  if (schema.$ref) return [schema];
  const inner = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((some) => some ?? []);
  if (schema.items) inner.push(schema.items);
  if (typeof schema.additionalProperties === "object") inner.push(schema.additionalProperties);
  return inner.flatMap(mentioned);
}

/** Return the schema of the JSON body, of the form, or of neither. */
export function bodyOf(document: Document, operation: Operation): { json: Schema | null; form: Schema | null } {
  const content = operation.requestBody?.content ?? {};
  const of = (kind: string) => (content[kind]?.schema ? resolved(document, content[kind].schema) : null);
  return { json: of(JSON_TYPE), form: of(FORM_TYPE) };
}

/** Return the schema of what a good answer holds, null where it is no JSON. */
export function answerOf(operation: Operation): Schema | null {
  const good = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  return good?.[1].content?.[JSON_TYPE]?.schema ?? null;
}

/** Return examples of a body: those the document has, or one with all that is required. */
export function examplesOf(document: Document, schema: Schema): unknown[] {
  const told = resolved(document, schema);
  if (told.examples?.length) return told.examples;
  return [made(document, told, 0)];
}

function made(document: Document, schema: Schema, depth: number): unknown {
  const told = resolved(document, schema);
  if (told.examples?.length) return told.examples[0];
  if (told.default !== undefined) return told.default;
  if (told.enum) return told.enum[0];
  const several = told.anyOf ?? told.oneOf ?? told.allOf;
  if (several?.[0]) return made(document, several[0], depth);
  const type = [told.type].flat()[0];
  if (type === "object") {
    const needed = depth > 4 ? [] : (told.required ?? []);
    return Object.fromEntries(needed.map((name) => [name, made(document, told.properties?.[name] ?? {}, depth + 1)]));
  }
  return { array: [], string: "", integer: 0, number: 0, boolean: false }[type as "array"] ?? null;
}

/** What a person has filled in. `files` are the chosen files of a form, by field. */
export interface Filled {
  values: Record<string, string>;
  json: string;
  files: Record<string, File[]>;
}

/** Return the path and query of a request. A value of several is split at commas; conditions are taken as written. */
export function addressOf(operation: Operation, filled: Filled): string {
  let path = operation.path;
  const query: string[] = [];
  for (const parameter of operation.parameters) {
    const value = filled.values[`${parameter.in}.${parameter.name}`] ?? "";
    const type = [parameter.schema?.type ?? "string"].flat()[0];
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, value === "" ? "$&" : encodeURIComponent(value));
    else if (parameter.in !== "query" || value === "") continue;
    else if (type === "object") query.push(value);
    else {
      const values = type === "array" ? value.split(",").map((one) => one.trim()) : [value];
      query.push(...values.map((one) => `${encodeURIComponent(parameter.name)}=${encodeURIComponent(one)}`));
    }
  }
  return path + (query.length ? `?${query.join("&")}` : "");
}

/** Return the request as a line of curl. `asksForKey`: the server wants one. */
export function curlOf(origin: string, operation: Operation, filled: Filled, form: Schema | null, asksForKey: boolean): string {
  const words = ["curl"];
  if (operation.method !== "GET") words.push("-X", operation.method);
  words.push(quote(origin + addressOf(operation, filled)));
  if (asksForKey && operation.security) words.push("-H", `"X-API-Key: $KEY"`);
  if (form !== null) {
    for (const [field, value] of formValues(form, filled)) {
      words.push("-F", quote(`${field}=${typeof value === "string" ? value : `@${value.name}`}`));
    }
  } else if (filled.json.trim()) {
    words.push("-H", "'Content-Type: application/json'", "-d", quote(compact(filled.json)));
  }
  return words.join(" ");
}

/** Return the fields of a form that were filled in, in the order of the document. */
export function formValues(form: Schema, filled: Filled): [string, string | File][] {
  return Object.keys(form.properties ?? {}).flatMap((field): [string, string | File][] => {
    const files = filled.files[field] ?? [];
    const text = filled.values[`form.${field}`] ?? "";
    return files.length ? files.map((file) => [field, file]) : text ? [[field, text]] : [];
  });
}

function compact(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json));
  } catch {
    return json;
  }
}
