// Lists that the page saves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { csvOf } from "../src/state/export";

test("a column a field, those of objects by their path, lists with bars", () => {
  const hits = [
    { id: "a", similarity: 0.5, payload: { tags: ["red", "large"], metadata: { price: 3 }, caption: 'A "big" one, red' } },
    { id: "b", similarity: null, payload: { tags: [], class: "=1+1", metadata: { price: -2 } } },
  ];
  assert.equal(
    csvOf(hits),
    'id,similarity,tags,metadata.price,caption,class\r\na,0.5,red|large,3,"A ""big"" one, red",\r\n' + "b,,,-2,,'=1+1\r\n",
  );
});

test("a column that nothing has is left out", () => {
  assert.equal(csvOf([{ id: "a", similarity: null, payload: {} }]), "id\r\na\r\n");
});
