import assert from "node:assert/strict";
import { test } from "node:test";
import { nextState } from "../src/parts/search/facet";
import { rounded } from "../src/parts/histogram";
import { askOf } from "../src/state/ask";
import { codeOf, quote } from "../src/state/code";

const ask = askOf(new URLSearchParams("q=it's red&class=dress&tags.all=new&tags.none=sold&bytes.gte=10"));

test("a question as the command line takes it", () => {
  assert.equal(
    codeOf("CLI", "http://x", "shop", ask, 5),
    `vitrine search -c shop --text 'it'\\''s red' --tag new --not-tag sold --class dress --where bytes.gte=10 --limit 5`,
  );
});

test("as curl and as Python", () => {
  assert.match(codeOf("curl", "http://x", "a b", ask, 5), /^curl http:\/\/x\/v1\/categories\/a%20b\/search/);
  assert.match(codeOf("Python", "http://x", "shop", ask, 5), /v\["shop"\]\.search\(text="it's red", tags=\["new"\], not_tags=\["sold"\], class_=\["dress"\], where=\{"bytes.gte":10\}, limit=5\)/);
});

test("words are quoted for a shell", () => {
  assert.deepEqual(["a", "a b", "it's", "a=b"].map(quote), ["a", "'a b'", `'it'\\''s'`, "a=b"]);
});

test("a click goes round: any, all where possible, off; with Alt none, off", () => {
  assert.deepEqual([nextState("off", false, true), nextState("any", false, true), nextState("all", false, true)], ["any", "all", "off"]);
  assert.deepEqual([nextState("any", false, false), nextState("any", true, true), nextState("none", true, true)], ["off", "none", "off"]);
});

test("bounds are as fine as the span needs", () => {
  assert.deepEqual([rounded(0.123456, 1), rounded(12345.678, 50_000), rounded(3.14159, 20)], [0.123, 12346, 3.1]);
});
