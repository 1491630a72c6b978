from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from vitrine.services.runtime import Runtime

COLOURS_PATH = "/v1/categories/colours"


def test_values_are_counted_under_conditions(shared: TestClient) -> None:
    counted = shared.get(f"{COLOURS_PATH}/facets/class").json()
    assert counted == {
        "field": "class",
        "values": [{"value": "cool", "count": 3}, {"value": "warm", "count": 2}],
    }
    warm = shared.get(f"{COLOURS_PATH}/facets/tags", params={"class": "warm", "limit": 1}).json()
    assert warm["values"] == [{"value": "flat", "count": 2}]
    years = shared.get(f"{COLOURS_PATH}/facets/metadata.year").json()["values"]
    assert {value["value"] for value in years} == set(range(1990, 1995))


def test_numbers_are_counted_in_bins(client: TestClient, runtime: Runtime, ids: dict[str, str]) -> None:
    runtime.catalog.ensure_indexes("colours", {'scores."red mug"': "float"})
    for number, id in enumerate(ids.values()):
        runtime.vectors.set_payload("colours", {id: {"scores": {"red mug": number / 4}}})
    scores = client.get(f'{COLOURS_PATH}/histograms/scores."red mug"', params={"bins": 2}).json()
    assert scores["bins"] == [
        {"lower": 0.0, "upper": 0.5, "count": 2},
        {"lower": 0.5, "upper": 1.0, "count": 3},
    ]
    years = client.get(f"{COLOURS_PATH}/histograms/metadata.year", params={"bins": 2, "class": "warm"}).json()
    assert [found["count"] for found in years["bins"]] == [1, 1]
    part = client.get(
        f"{COLOURS_PATH}/histograms/metadata.year", params={"bins": 1, "lower": 1991, "upper": 1993}
    ).json()
    assert part["bins"] == [{"lower": 1991.0, "upper": 1993.0, "count": 3}]
    empty = client.get(f"{COLOURS_PATH}/histograms/metadata.year", params={"tag": "nothing"}).json()
    assert empty["bins"] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("facets/caption", 422, "unknown_field"),
        ("facets/quality", 422, "unknown_field"),
        ("facets/scores.cat", 422, "unknown_field"),
        ("facets/..%2f..%2fetc", 422, "unknown_field"),
        ("facets/class?limit=0", 422, "bad_request"),
        ("facets/class?bins=2", 422, "bad_request"),
        ("facets/class?tagg=x", 422, "bad_request"),
        ("histograms/class", 422, "unknown_field"),
        ("histograms/created_at", 422, "unknown_field"),
        ("histograms/width?bins=0", 422, "bad_request"),
        ("histograms/width?bins=201", 422, "bad_request"),
        ("histograms/width?lower=nan", 422, "bad_request"),
        ("histograms/width?lower=inf", 422, "bad_request"),
        ("histograms/width?lower=5&upper=1", 422, "bad_request"),
        ("histograms/width?lower=1e308&upper=-1e308", 422, "bad_request"),
    ],
)
def test_bad_questions_are_refused(shared: TestClient, path: str, status: int, code: str) -> None:
    answer = shared.get(f"{COLOURS_PATH}/{path}")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_unknown_categories_are_not_found(client: TestClient) -> None:
    for kind in ("facets/class", "histograms/width"):
        assert client.get(f"/v1/categories/nothing/{kind}").status_code == 404


def test_extreme_edges_are_no_server_error(shared: TestClient) -> None:
    for edges in (
        {"lower": -1e308, "upper": 1e308},
        {"lower": 5e-324, "upper": 1e-323},
        {"lower": 1, "upper": 1},
    ):
        answer = shared.get(f"{COLOURS_PATH}/histograms/width", params={**edges, "bins": 200})
        assert answer.status_code in (200, 422), answer.text
