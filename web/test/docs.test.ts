import assert from "node:assert/strict";
import test from "node:test";
import { addressOf, answerOf, curlOf, documentOf, examplesOf, typeOf } from "../src/docs/document";

const TREE = {
  info: { title: "Vitrine", version: "1" },
  paths: {
    "/v1/{category}/images": {
      get: {
        operationId: "list_images",
        tags: ["images"],
        security: [{}],
        parameters: [
          { name: "category", in: "path", required: true, schema: { type: "string" } },
          { name: "fields", in: "query", schema: { type: "array", items: { type: "string" } } },
          { name: "limit", in: "query", schema: { type: "integer" } },
          { name: "conditions", in: "query", schema: { type: "object" } },
        ],
        responses: { 200: { content: { "application/json": { schema: { $ref: "#/components/schemas/Found" } } } } },
      },
      post: {
        operationId: "add_images",
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/New" } } } },
        responses: { 204: {} },
      },
    },
  },
  components: {
    schemas: {
      Found: { type: "object", properties: {} },
      New: {
        type: "object",
        required: ["name", "inner", "kind"],
        properties: {
          name: { type: "string" },
          kind: { enum: ["a", "b"] },
          inner: { $ref: "#/components/schemas/Inner" },
          other: { type: "integer" },
        },
      },
      Inner: { type: "object", examples: [{ deep: true }] },
    },
  },
};
const DOCUMENT = documentOf(TREE);
const [LIST, ADD] = DOCUMENT.operations as [(typeof DOCUMENT.operations)[0], (typeof DOCUMENT.operations)[0]];
const NOTHING = { values: {}, json: "", files: {} };

test("an address has the parts that were filled in, percent-encoded", () => {
  const values = { "path.category": "a/b c", "query.fields": "class, tags", "query.limit": "", "query.conditions": "tag=red&width.gte=5" };
  assert.equal(addressOf(LIST, { ...NOTHING, values }), "/v1/a%2Fb%20c/images?fields=class&fields=tags&tag=red&width.gte=5");
  assert.equal(addressOf(LIST, NOTHING), "/v1/{category}/images");
});

test("curl takes the key only where one is needed, and quotes the body", () => {
  const filled = { ...NOTHING, values: { "path.category": "shop" }, json: '{\n "name": "it\'s"\n}' };
  assert.equal(curlOf("http://h", LIST, { ...filled, json: "" }, null, true), `curl http://h/v1/shop/images -H "X-API-Key: $KEY"`);
  assert.equal(
    curlOf("http://h", ADD, filled, null, true),
    `curl -X POST 'http://h/v1/{category}/images' -H 'Content-Type: application/json' -d '{"name":"it'\\''s"}'`,
  );
});

test("a form names its files", () => {
  const form = { properties: { files: { type: "array" }, tags: { type: "string" } } };
  const filled = { ...NOTHING, values: { "form.tags": "red" }, files: { files: [new File([""], "a b.png")] } };
  assert.match(curlOf("http://h", ADD, filled, form, false), /-F 'files=@a b.png' -F tags=red$/);
});

test("a body without an example is made of what it needs", () => {
  const schema = { $ref: "#/components/schemas/New" };
  assert.deepEqual(examplesOf(DOCUMENT, schema), [{ name: "", inner: { deep: true }, kind: "a" }]);
});

test("types are told in words", () => {
  assert.equal(typeOf({ anyOf: [{ type: "array", items: { type: "string" } }, { type: "null" }] }), "list of text or null");
  assert.equal(typeOf({ enum: ["read", "write"] }), '"read" or "write"');
  assert.equal(typeOf({ type: "string", format: "binary" }), "file");
  assert.deepEqual(answerOf(LIST), { $ref: "#/components/schemas/Found" });
  assert.equal(answerOf(ADD), null);
});
