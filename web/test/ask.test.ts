import assert from "node:assert/strict";
import { test } from "node:test";
import { askOf, bodyOf, empty, filterOf, queryOf, withCondition } from "../src/state/ask";

test("an address and the question it asks are the same", () => {
  const address = "q=red+shoe&like=a,b&unlike=picture:ff&using=clip&variety=0.2&least=0.3&collapse=true&class=dress&class=skirt&tags.all=new&tags.none=sold&bytes.gte=10&bytes.lte=90";
  const ask = askOf(new URLSearchParams(address));
  assert.equal(queryOf(ask), address);
  assert.deepEqual(ask.conditions["tags"], { ...empty(), all: ["new"], none: ["sold"] });
  assert.deepEqual(askOf(new URLSearchParams(queryOf(ask))), ask);
});

test("a listing has an order, a search has none", () => {
  const sorted = askOf(new URLSearchParams("sort=-quality"));
  assert.deepEqual(bodyOf(sorted)["order_by"], { field: "quality", descending: true });
  assert.equal(bodyOf({ ...sorted, text: "a cup" })["order_by"], undefined);
});

test("conditions become a filter of the API", () => {
  const ask = askOf(new URLSearchParams("cluster.look=root-14&class=a&class.none=b&width.gte=100"));
  assert.deepEqual(filterOf(ask.conditions), {
    clusters: { look: "root-14" },
    where: {
      must: [
        { key: "class", match: { any: ["a"] } },
        { key: "width", range: { gte: 100 } },
      ],
      must_not: [{ key: "class", match: { any: ["b"] } }],
    },
  });
});

test("a condition without anything in it is gone", () => {
  const ask = withCondition(askOf(new URLSearchParams("class=a")), "class", empty());
  assert.deepEqual(ask.conditions, {});
  assert.equal(queryOf(ask), "");
});
