// A question as code: what a person would type to ask it by curl, the command line or Python.
import type { Ask } from "./ask";
import { bodyOf, isSearch } from "./ask";

export type Language = "curl" | "CLI" | "Python";

/** Return the question in a language. `limit`: how many hits it asks for. */
export function codeOf(language: Language, origin: string, category: string, ask: Ask, limit = 50): string {
  if (language === "curl") return curl(origin, category, ask, limit);
  return language === "CLI" ? cli(category, ask, limit) : python(category, ask, limit);
}

function curl(origin: string, category: string, ask: Ask, limit: number): string {
  const body = JSON.stringify({ ...bodyOf(ask), limit }, null, 1).replaceAll(/\n\s*/g, " ");
  return `curl ${quote(`${origin}/v1/categories/${encodeURIComponent(category)}/search`)} \\\n  -H 'Content-Type: application/json' -d ${quote(body)}`;
}

function cli(category: string, ask: Ask, limit: number): string {
  const words = ["vitrine", "search", "-c", quote(category)];
  const say = (flag: string, ...values: (string | number)[]) => values.forEach((value) => words.push(flag, quote(String(value))));
  if (ask.text) say("--text", ask.text);
  say("--like", ...ask.like);
  say("--unlike", ...ask.unlike);
  if (ask.using) say("--using", ask.using);
  if (ask.variety !== null) say("--diversity", ask.variety);
  if (ask.least !== null) say("--min-similarity", ask.least);
  if (ask.collapse) words.push("--collapse");
  const { tags, class: named, ...others } = ask.conditions;
  if (tags) {
    say("--tag", ...tags.all);
    say("--any-tag", ...tags.any);
    say("--not-tag", ...tags.none);
  }
  if (named) say("--class", ...named.any, ...named.all);
  say("--where", ...pairs(others).map(([key, value]) => `${key}=${value}`));
  if (!isSearch(ask) && ask.sort) say("--order-by", ask.sort.startsWith("-") ? `${ask.sort.slice(1)}:desc` : ask.sort);
  say("--limit", limit);
  return words.join(" ") + left(ask, "#");
}

function python(category: string, ask: Ask, limit: number): string {
  const given: string[] = [];
  const say = (name: string, value: unknown) => given.push(`${name}=${JSON.stringify(value)}`);
  if (ask.text) say("text", ask.text);
  if (ask.like.length) say("like", ask.like);
  if (ask.unlike.length) say("unlike", ask.unlike);
  if (ask.using) say("using", ask.using);
  if (ask.variety !== null) say("diversity", ask.variety);
  if (ask.least !== null) say("min_similarity", ask.least);
  if (ask.collapse) given.push("collapse=True");
  const { tags, class: named, ...others } = ask.conditions;
  if (tags?.all.length) say("tags", tags.all);
  if (tags?.any.length) say("any_tags", tags.any);
  if (tags?.none.length) say("not_tags", tags.none);
  if (named && named.any.length + named.all.length) say("class_", [...named.any, ...named.all]);
  const where = pairs(others);
  if (where.length) say("where", Object.fromEntries(where));
  if (!isSearch(ask) && ask.sort) say("order_by", ask.sort.startsWith("-") ? `${ask.sort.slice(1)}:desc` : ask.sort);
  given.push(`limit=${limit}`);
  const call = isSearch(ask) ? "search" : "images";
  return `import vitrine\n\nwith vitrine.open() as v:\n    hits = v[${JSON.stringify(category)}].${call}(${given.join(", ")})${left(ask, "  #")}`;
}

/** Conditions as the keys and values of `--where` and `where=`. */
function pairs(conditions: Ask["conditions"]): [string, string | number][] {
  const found: [string, string | number][] = [];
  for (const [field, one] of Object.entries(conditions)) {
    for (const value of [...one.any, ...one.all]) found.push([field, value]);
    if (one.gte !== null) found.push([`${field}.gte`, one.gte]);
    if (one.lte !== null) found.push([`${field}.lte`, one.lte]);
  }
  return found;
}

/** Say which conditions only the API can be asked for: values that a field other than tags must not have. */
function left(ask: Ask, sign: string): string {
  const others = Object.entries(ask.conditions).filter(([field, one]) => field !== "tags" && one.none.length > 0);
  return others.length === 0 ? "" : ` ${sign} over HTTP also without ${others.map(([field, one]) => `${field} ${one.none.join(", ")}`).join("; ")}`;
}

/** A word as a shell takes it. */
export function quote(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
