// What is asked for: one question with its conditions, as the address bar holds it and as the API takes it.

/** A condition on one field. Values of `any` are alternatives, `all` must all be there, `none` must not. */
export interface Condition {
  any: string[];
  all: string[];
  none: string[];
  gte: number | null;
  lte: number | null;
}

/** `like` and `unlike`: ids of images, or `picture:<sha256>`. `sort`: a field, with `-` before it descending. */
export interface Ask {
  text: string;
  like: string[];
  unlike: string[];
  using: string | null;
  variety: number | null;
  least: number | null;
  collapse: boolean;
  sort: string | null;
  conditions: Record<string, Condition>;
}

const OWN = ["q", "like", "unlike", "using", "variety", "least", "collapse", "sort"];

/** Return the question of an address. What is no parameter of its own is a condition, in the API's words. */
export function askOf(query: URLSearchParams): Ask {
  const ask: Ask = {
    text: query.get("q") ?? "",
    like: list(query.get("like")),
    unlike: list(query.get("unlike")),
    using: query.get("using"),
    variety: numberOf(query.get("variety")),
    least: numberOf(query.get("least")),
    collapse: query.get("collapse") === "true",
    sort: query.get("sort"),
    conditions: {},
  };
  for (const [key, value] of query) {
    if (OWN.includes(key)) continue;
    const { field, word } = split(key);
    const one = (ask.conditions[field] ??= empty());
    if (word === "gte" || word === "lte") one[word] = numberOf(value);
    else one[word].push(value);
  }
  return ask;
}

/** Return the parameters of an address that asks this. `askOf` of them is the same question. */
export function queryOf(ask: Ask): string {
  const query = new URLSearchParams();
  if (ask.text) query.set("q", ask.text);
  if (ask.like.length) query.set("like", ask.like.join(","));
  if (ask.unlike.length) query.set("unlike", ask.unlike.join(","));
  if (ask.using) query.set("using", ask.using);
  if (ask.variety !== null) query.set("variety", String(ask.variety));
  if (ask.least !== null) query.set("least", String(ask.least));
  if (ask.collapse) query.set("collapse", "true");
  if (ask.sort) query.set("sort", ask.sort);
  for (const [field, one] of Object.entries(ask.conditions)) {
    for (const value of one.any) query.append(field, value);
    for (const value of one.all) query.append(`${field}.all`, value);
    for (const value of one.none) query.append(`${field}.none`, value);
    if (one.gte !== null) query.set(`${field}.gte`, String(one.gte));
    if (one.lte !== null) query.set(`${field}.lte`, String(one.lte));
  }
  return query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** Return whether images are compared with something, rather than listed. */
export function isSearch(ask: Ask): boolean {
  return ask.text !== "" || ask.like.length > 0 || ask.unlike.length > 0;
}

/** Return the question as the API takes it, without limit and fields. */
export function bodyOf(ask: Ask): Record<string, unknown> {
  const body: Record<string, unknown> = { filter: filterOf(ask.conditions) };
  if (!isSearch(ask)) {
    if (ask.sort) body["order_by"] = { field: ask.sort.replace(/^-/, ""), descending: ask.sort.startsWith("-") };
    return body;
  }
  if (ask.text) body["text"] = ask.text;
  if (ask.like.length) body["positive"] = ask.like;
  if (ask.unlike.length) body["negative"] = ask.unlike;
  if (ask.using) body["using"] = ask.using;
  if (ask.variety !== null) body["diversity"] = ask.variety;
  if (ask.least !== null) body["min_similarity"] = ask.least;
  if (ask.collapse) body["collapse"] = true;
  return body;
}

/** Return conditions as the API's filter: nodes of cluster runs by name, all else in Qdrant's own words. */
export function filterOf(conditions: Record<string, Condition>): Record<string, unknown> {
  const must: unknown[] = [];
  const mustNot: unknown[] = [];
  const clusters: Record<string, string> = {};
  for (const [field, one] of Object.entries(conditions)) {
    if (field.startsWith(CLUSTER)) {
      const node = one.any[0] ?? one.all[0];
      if (node !== undefined) clusters[field.slice(CLUSTER.length)] = node;
      continue;
    }
    if (one.any.length) must.push({ key: field, match: { any: one.any } });
    for (const value of one.all) must.push({ key: field, match: { value } });
    if (one.none.length) mustNot.push({ key: field, match: { any: one.none } });
    if (one.gte !== null || one.lte !== null) {
      must.push({ key: field, range: { ...(one.gte === null ? {} : { gte: one.gte }), ...(one.lte === null ? {} : { lte: one.lte }) } });
    }
  }
  const filter: Record<string, unknown> = {};
  if (Object.keys(clusters).length) filter["clusters"] = clusters;
  if (must.length || mustNot.length) {
    filter["where"] = { ...(must.length ? { must } : {}), ...(mustNot.length ? { must_not: mustNot } : {}) };
  }
  return filter;
}

export const CLUSTER = "cluster.";

export function empty(): Condition {
  return { any: [], all: [], none: [], gte: null, lte: null };
}

/** Return the question with another condition on a field; without one where nothing is left of it. */
export function withCondition(ask: Ask, field: string, one: Condition): Ask {
  const conditions = { ...ask.conditions };
  const left = one.any.length + one.all.length + one.none.length > 0 || one.gte !== null || one.lte !== null;
  if (left) conditions[field] = one;
  else delete conditions[field];
  return { ...ask, conditions };
}

function split(key: string): { field: string; word: "any" | "all" | "none" | "gte" | "lte" } {
  for (const word of ["all", "none", "gte", "lte"] as const) {
    if (key.endsWith(`.${word}`)) return { field: key.slice(0, -word.length - 1), word };
  }
  return { field: key, word: "any" };
}

function list(text: string | null): string[] {
  return text ? text.split(",").filter(Boolean) : [];
}

function numberOf(text: string | null): number | null {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}
