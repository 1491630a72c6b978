"""A whole query in figures over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, READ, client_on, fill, runtime_in, settings_in

URL = "/v1/categories/colours/summary"


def summary(client: TestClient, **body: Any) -> Any:
    answer = client.post(URL, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_listing_in_figures(shared: TestClient, shared_ids: dict[str, str]) -> None:
    found = summary(
        shared,
        filter={"class": ["warm"], "width": {"gte": 1}},
        facets=[{"field": "class"}, {"field": "tags", "limit": 1}],
        histograms=[{"field": "metadata.year", "bins": 2}, {"field": "bytes", "lower": 0, "upper": 1}],
    )
    assert found.pop("timing")["total_ms"] > 0
    (_, sizes) = found["histograms"]
    assert sizes == {"field": "bytes", "bins": sizes["bins"], "missing": 0} and len(sizes["bins"]) == 32
    assert found == {
        "total": 2,
        "facets": [
            {
                "field": "class",
                "values": [{"value": "cool", "count": 3}, {"value": "warm", "count": 2}],
                "more": False,
                "missing": 0,
            },
            {"field": "tags", "values": [{"value": "flat", "count": 2}], "more": True, "missing": 0},
        ],
        "histograms": [
            {
                "field": "metadata.year",
                "bins": [
                    {"lower": 1990.0, "upper": 1990.5, "count": 1},
                    {"lower": 1990.5, "upper": 1991.0, "count": 1},
                ],
                "missing": 0,
            },
            sizes,
        ],
        "similarity": None,
    }


@pytest.mark.parametrize("way", ["text", "id", "positive"])
def test_a_search_in_figures(shared: TestClient, shared_ids: dict[str, str], way: str) -> None:
    red = shared_ids["red"]
    asks: dict[str, Any] = {"text": "red", "id": red, "positive": [red]}
    total = len(COLOURS) - (way != "text")
    found = summary(shared, **{way: asks[way]}, facets=[{"field": "class"}], similarity_bins=4)
    assert found["total"] == total
    assert sum(it["count"] for it in found["facets"][0]["values"]) == total
    bins = found["similarity"]["bins"]
    assert len(bins) == 4 and sum(one["count"] for one in bins) == total
    least = bins[-1]["upper"] - 1e-6
    best = summary(shared, **{way: asks[way]}, min_similarity=least, similarity_bins=4)
    assert best["total"] == 1 and best["similarity"]["bins"] == bins


def test_what_was_just_changed_is_counted(client: TestClient) -> None:
    ids = fill(client)
    asked = {"facets": [{"field": "class"}]}
    before = summary(client, **asked)["facets"][0]["values"]
    assert before == [{"value": "cool", "count": 3}, {"value": "warm", "count": 2}]
    client.patch(f"/v1/categories/colours/images/{ids['blue']}", json={"class": "warm"})
    client.delete(f"/v1/categories/colours/images/{ids['green']}")
    after = summary(client, **asked)
    assert after["total"] == 4
    assert after["facets"][0]["values"] == [{"value": "warm", "count": 3}, {"value": "cool", "count": 1}]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"facets": [{"field": "caption"}]}, "unknown_field"),
        ({"histograms": [{"field": "class"}]}, "unknown_field"),
        ({"facets": [{"field": "cluster.none"}]}, "not_found"),
        ({"facets": [{"field": "class", "limit": 0}]}, "bad_request"),
        ({"histograms": [{"field": "bytes", "bins": 1_000}]}, "bad_request"),
        ({"histograms": [{"field": "bytes", "lower": 2, "upper": 1}]}, "bad_request"),
        ({"facets": "class"}, "bad_request"),
        ({"min_similarity": 0.5}, "bad_request"),
        ({"text": "red", "id": "x"}, "bad_request"),
        ({"unknown": 1}, "bad_request"),
    ],
)
def test_what_cannot_be_counted_is_refused(shared: TestClient, body: dict[str, Any], code: str) -> None:
    answer = shared.post(URL, json=body)
    assert answer.json()["code"] == code
    assert answer.status_code == (404 if code == "not_found" else 422)


def test_a_missing_category_and_a_missing_key_are_refused(tmp_path: Any) -> None:
    with runtime_in(settings_in(tmp_path, keys=(f"read:{READ}",))) as runtime, client_on(runtime) as client:
        assert client.post(URL, json={}).status_code == 401
        answer = client.post(URL, json={}, headers={"X-API-Key": READ})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
