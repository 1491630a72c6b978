// The one client of the API: every request of the page goes through `call`.
import { signal } from "@preact/signals";
import type { components } from "./schema";

export type Schemas = components["schemas"];

/** An error answer of the API (a problem document), or no answer at all (`code` is then "offline"). */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

/** Who is signed in. `needed`: the server asks for a key; `scope`: what this session may do. */
export interface Session {
  needed: boolean;
  scope: "read" | "write" | null;
  csrf: string | null;
}
export const session = signal<Session>({ needed: false, scope: "write", csrf: null });

export interface Request {
  json?: unknown;
  form?: FormData;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Ask the API and return its JSON. Throws `ApiError`; an aborted request throws the browser's AbortError. */
export async function call<T>(method: string, path: string, request: Request = {}): Promise<T> {
  const answer = await send(method, path, request);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** Ask the API and return its bytes. */
export async function bytes(method: string, path: string, request: Request = {}): Promise<Response> {
  return send(method, path, request);
}

async function send(method: string, path: string, request: Request): Promise<Response> {
  const headers: Record<string, string> = { ...request.headers };
  if (request.json !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET" && session.value.csrf) headers["X-CSRF-Token"] = session.value.csrf;
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      headers,
      body: request.form ?? (request.json === undefined ? null : JSON.stringify(request.json)),
      credentials: "same-origin",
      ...(request.signal ? { signal: request.signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is it running?", 0, "offline");
  }
  if (answer.ok || answer.status === 304) return answer;
  throw await problemOf(answer);
}

async function problemOf(answer: Response): Promise<ApiError> {
  const tree = (await answer.json().catch(() => ({}))) as Partial<Schemas["Problem"]>;
  if (answer.status === 401) session.value = { needed: true, scope: null, csrf: null };
  const text = tree.detail ?? tree.title ?? `The server answered ${answer.status}.`;
  return new ApiError(text, answer.status, tree.code ?? "unknown", (tree.details ?? {}) as Record<string, unknown>);
}

/** Return whether an error only says that a newer request took the place of this one. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Runs requests of which only the last one counts: each `run` aborts the one before. */
export class Latest {
  private running: AbortController | null = null;

  async run<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.running?.abort();
    const own = new AbortController();
    this.running = own;
    return ask(own.signal);
  }

  stop(): void {
    this.running?.abort();
  }
}

/** The path of a category's resource. Each part is percent-encoded. */
export function pathOf(category: string, ...parts: string[]): string {
  return ["/v1/categories", category, ...parts].map((part, at) => (at === 0 ? part : encodeURIComponent(part))).join("/");
}

export type ThumbnailWidth = 160 | 320 | 640 | 1280;

/** The address of a picture's small version: an image's id, or `picture:<sha256>` of a picture that was sent. */
export function thumbnail(category: string, id: string, width: ThumbnailWidth): string {
  return id.startsWith(PICTURE)
    ? `/v1/pictures/${id.slice(PICTURE.length)}/thumbnail?w=${width}`
    : `${pathOf(category, "images", id)}/thumbnail?w=${width}`;
}

/** Before the hash of a picture that was sent to be searched by. */
export const PICTURE = "picture:";
