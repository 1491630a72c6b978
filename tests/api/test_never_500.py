"""Whatever is sent, the answer is never a server error, and every error is a problem document with a known
code."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vitrine.api.errors import STATUS
from vitrine.services.errors import REFUSALS

CALM = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TAGGER_PATHS = (
    "taggers/score",
    "taggers/x/score",
    "taggers/x/labels",
    "taggers/x/train",
    "taggers/x/uncertain",
)
ABSENT = "00000000-0000-5000-8000-000000000000"

texts = st.sampled_from(
    [
        "",
        "red",
        "colour",
        "class",
        "tags",
        "metadata.year",
        "scores.cat",
        ABSENT,
        "x",
        "\x00",
        "é'\"\\",
        "1",
        "true",
    ]
)
numbers = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63) - 1, 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
spans = st.one_of(junk, st.dictionaries(st.sampled_from(["gte", "lte", "gt", "lt"]), scalars, max_size=2))
conditions = st.dictionaries(
    st.sampled_from(
        [
            "tags_all",
            "tags_any",
            "tags_none",
            "class",
            "quality",
            "width",
            "created_at",
            "ids",
            "filename",
            "clusters",
        ]
    ),
    st.one_of(spans, st.lists(texts, max_size=2)),
    max_size=3,
)
matches = st.fixed_dictionaries(
    {},
    optional={
        "value": scalars,
        "any": st.lists(scalars, max_size=3),
        "except": st.lists(scalars, max_size=2),
    },
)
fields = st.sampled_from(
    ["class", "width", "quality", "metadata.year", "created_at", "tags", "", "a[].b", "caption"]
)
clauses = st.recursive(
    st.one_of(
        st.fixed_dictionaries(
            {"key": fields},
            optional={"match": matches, "range": spans, "values_count": spans, "is_empty": st.booleans()},
        ),
        st.fixed_dictionaries({"has_id": st.lists(scalars, max_size=2)}),
        st.fixed_dictionaries({"is_empty": st.fixed_dictionaries({"key": fields})}),
        st.fixed_dictionaries({"is_null": st.fixed_dictionaries({"key": fields})}),
        st.fixed_dictionaries({"has_vector": texts}),
        junk,
    ),
    lambda inner: st.dictionaries(
        st.sampled_from(["must", "should", "must_not", "min_should", "nested"]),
        st.lists(inner, max_size=2),
        max_size=2,
    ),
    max_leaves=4,
)
wheres = st.dictionaries(
    st.sampled_from(["must", "should", "must_not"]),
    st.one_of(st.lists(clauses, max_size=2), clauses),
    max_size=2,
)
columns = st.dictionaries(
    st.sampled_from(["year", "weight", "a.b", ""]),
    st.one_of(spans, st.lists(scalars, max_size=2)),
    max_size=2,
)
filters = st.one_of(
    junk,
    conditions,
    st.builds(lambda a, b: {**a, "metadata": b}, conditions, columns),
    st.builds(lambda w: {"where": w}, wheres),
)
keys = st.sampled_from(
    [
        "tag",
        "tag.any",
        "class",
        "id",
        "score.cat.gte",
        "quality.gte",
        "quality.lt",
        "width.gte",
        "created_at.lt",
        "cluster.run",
        "metadata.year",
        "metadata.year.gte",
        "metadata.weight",
        "limit",
        "cursor",
        "order_by",
        "descending",
        "random",
        "with_vectors",
    ]
)
asks = st.sampled_from(
    [
        {},
        {"text": "red"},
        {"id": "red"},
        {"id": ABSENT},
        {"vector": [1.0] * 64},
        {"positive": ["red"], "negative": ["blue"]},
    ]
)
choices: dict[str, st.SearchStrategy[Any]] = {
    "limit": st.one_of(st.integers(1, 5), numbers),
    "offset": st.one_of(st.integers(0, 5), numbers),
    "using": st.one_of(texts, st.lists(texts, max_size=3)),
    "min_similarity": numbers,
    "diversity": st.one_of(st.floats(0, 1), numbers),
    "filter": filters,
    "order_by": st.one_of(junk, st.fixed_dictionaries({"field": fields, "descending": st.booleans()})),
    "cursor": texts,
    "random": scalars,
    "with_vectors": scalars,
    "exact": scalars,
    "vector": junk,
    "positive": junk,
}
options = st.lists(
    st.one_of([st.tuples(st.just(name), values) for name, values in choices.items()]), max_size=2
).map(dict)  # few at a time: of many, one is always refused


def dumped(tree: Any) -> bytes:
    import json

    try:
        return orjson.dumps(tree)
    except orjson.JSONEncodeError:  # integers over 64 bits
        return json.dumps(tree).encode()


def check(answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] in STATUS or answer.json()["code"] in REFUSALS


@CALM
@given(ask=asks, more=options)
def test_searches(
    shared: TestClient, shared_ids: dict[str, str], ask: dict[str, Any], more: dict[str, Any]
) -> None:
    named = {**ask, **more}
    if named.get("id") in shared_ids:
        named["id"] = shared_ids[named["id"]]
    if named.get("positive") == ["red"]:
        named |= {"positive": [shared_ids["red"]], "negative": [shared_ids["blue"]]}
    check(
        shared.post(
            "/v1/categories/colours/search",
            content=dumped(named),
            headers={"Content-Type": "application/json"},
        )
    )


@CALM
@given(tree=filters)
def test_filters(shared: TestClient, tree: Any) -> None:
    check(
        shared.post(
            "/v1/categories/colours/search",
            content=dumped({"filter": tree}),
            headers={"Content-Type": "application/json"},
        )
    )


@CALM
@given(
    path=st.sampled_from(["search", "images/x", *TAGGER_PATHS]),
    body=st.one_of(st.binary(max_size=40), junk.map(dumped)),
)
def test_bodies(shared: TestClient, path: str, body: bytes) -> None:
    method = "PATCH" if path == "images/x" else "POST"
    check(
        shared.request(
            method,
            f"/v1/categories/colours/{path}",
            content=body,
            headers={"Content-Type": "application/json"},
        )
    )


@CALM
@given(
    pairs=st.lists(
        st.tuples(
            st.one_of(
                keys,
                st.text(max_size=8),
            ),
            st.one_of(
                st.sampled_from(["1", "true", "width", "red", "2024-01-01", "1e400", "9" * 25, "-1", "nan"]),
                st.text(max_size=8),
            ),
        ),
        max_size=4,
    ),
    path=st.sampled_from(
        ["images", "facets/class", "facets/width", "histograms/width", "histograms/quality"]
    ),
)
def test_query_strings(shared: TestClient, pairs: list[tuple[str, str]], path: str) -> None:
    check(
        shared.get(f"/v1/categories/colours/{path}", params=[pair for pair in pairs if pair[1].isprintable()])
    )


@CALM
@given(
    parts=st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10), st.binary(max_size=60)), max_size=3),
    boundary=st.text(max_size=5),
)
def test_forms(shared: TestClient, parts: list[tuple[str, str, bytes]], boundary: str) -> None:
    body = b""
    for name, filename, data in parts:
        disposition = f'form-data; name="{name}"; filename="{filename}"'.encode()
        body += b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + data + b"\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for path in ("search", "images"):
        check(
            shared.post(
                f"/v1/categories/nothing/{path}",
                content=body + b"--b--\r\n" + boundary.encode(),
                headers=headers,
            )
        )
        check(
            shared.post(f"/v1/categories/nothing/{path}", content=body + boundary.encode(), headers=headers)
        )
