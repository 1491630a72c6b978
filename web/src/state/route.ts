// Where the page is: the address bar is the state. Every page reads `route`, and changes it by `go`.
import { signal } from "@preact/signals";

export const PAGES = ["search", "clusters", "map", "tags", "duplicates"] as const;
export type PageName = (typeof PAGES)[number] | "home" | "image" | "label" | "docs" | "jobs";

/** `rest`: the parts of the path after the page, decoded: `/c/shop/clusters/look/root-14` has look, root-14. */
export interface Route {
  page: PageName;
  category: string | null;
  rest: string[];
  query: URLSearchParams;
}

/** What is kept with an entry of the history, so that Back finds the page as it was left. */
export interface Kept {
  scroll?: number;
  chosen?: string[];
}

export const route = signal<Route>(read(location));

/** Return the address of a page of a category. */
export function address(page: PageName, category: string | null, rest: string[] = [], query = ""): string {
  if (page === "docs" || page === "jobs") return [`/${page}`, ...rest.map(encodeURIComponent)].join("/");
  if (page === "home" || category === null) return "/";
  const path = ["c", category, page, ...rest].map(encodeURIComponent).join("/");
  return `/${path}${query ? `?${query}` : ""}`;
}

/** Go to an address of the page; `replace` puts it in the place of the present entry of the history. */
export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  if (replace) history.replaceState(history.state, "", to);
  else history.pushState({}, "", to);
  route.value = read(location);
}

/** Change parameters of the address of a page, without another entry of the history; null takes one away. Where
 * another page is on its way, nothing is changed: what is being left must not call itself back. */
export function setQuery(page: PageName, changes: Record<string, string | number | null>): void {
  const now = route.value;
  if (now.page !== page) return;
  const query = new URLSearchParams(now.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, String(value));
  }
  go(address(page, now.category, now.rest, query.toString()), true);
}

/** Return the category in the address while it is of this page, else null: a page that is being left must not take
 * the next one's address for its own. */
export function categoryOn(page: PageName): string | null {
  return route.value.page === page ? route.value.category : null;
}

/** Keep something with the present entry of the history. */
export function keep(part: Kept): void {
  history.replaceState({ ...(history.state as Kept | null), ...part }, "");
}

/** Return what was kept with the present entry of the history. */
export function kept(): Kept {
  return (history.state as Kept | null) ?? {};
}

/** Follow Back and Forward, and clicks on links within the page. */
export function followHistory(): void {
  history.scrollRestoration = "manual";
  addEventListener("popstate", () => (route.value = read(location)));
  document.addEventListener("click", (event) => {
    const link = (event.target as Element).closest?.("a");
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute("download")) return;
    const to = new URL(link.href, location.href);
    if (to.origin !== location.origin || !/^\/(c\/|docs(\/|$)|jobs(\/|$)|$)/.test(to.pathname)) return;
    event.preventDefault();
    go(to.pathname + to.search);
  });
}

function read(at: { pathname: string; search: string }): Route {
  const parts = at.pathname.split("/").filter(Boolean).map(decoded);
  const query = new URLSearchParams(at.search);
  const [first, category, page = "search", ...rest] = parts;
  if (first === "docs" || first === "jobs") return { page: first, category: null, rest: parts.slice(1), query };
  if (first !== "c" || category === undefined) return { page: "home", category: null, rest: [], query };
  const known = [...PAGES, "image", "label"] as string[];
  return { page: (known.includes(page) ? page : "search") as PageName, category, rest, query };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
