// Who is signed in. A server without keys needs none; one with keys takes a key once and gives a cookie.
import { call, session } from "../api/client";
import type { Session } from "../api/client";

/** Ask the server whether a key is needed and whether this browser has given one. */
export async function readSession(): Promise<void> {
  try {
    session.value = await call<Session>("GET", "/v1/session");
  } catch {
    session.value = { needed: false, scope: "write", csrf: null }; // the next request says what is wrong
  }
}

/** Give the key once. Throws `ApiError` where it is not known. */
export async function signIn(key: string): Promise<void> {
  await call("POST", "/v1/session", { json: { key } });
  await readSession();
}

export async function signOut(): Promise<void> {
  session.value = { ...session.value, scope: null }; // first, or pictures would go on being asked for without a key
  await new Promise((gone) => setTimeout(gone)); // the page has been taken down
  try {
    await call("DELETE", "/v1/session");
  } finally {
    await readSession();
  }
}

export function mayWrite(): boolean {
  return session.value.scope === "write";
}
