"""Tags and columns with any name, over HTTP: as they are printed and bare, in query strings, paths and
bodies."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from vitrine.services.runtime import Runtime
from vitrine.services.values.field_paths import field_path

PATH = "/v1/categories/colours"
NAMES = ["St. Moritz", "f/2.8", '"q"', "a\\b", "x=y", "tag.any", "EXIF:ISO", "größe", "100%", "a&b+c"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_asked_for(
    client: TestClient, ids: dict[str, str], runtime: Runtime, name: str
) -> None:
    first, second, *_ = ids.values()
    score, column = field_path("scores", name), field_path("metadata", name)
    for id, value in ((first, 0.25), (second, 0.75)):
        changed = client.patch(f"{PATH}/images/{id}", json={"add_tags": [name], "metadata": {name: value}})
        assert changed.status_code == 200 and changed.json()["payload"]["metadata"][name] == value
        runtime.catalog.ensure_indexes("colours", {score: "float"})
        runtime.vectors.set_payload("colours", {id: {"scores": {name: value}}})

    def found(**asked: str) -> list[str]:
        answer = client.get(f"{PATH}/images", params=asked)
        assert answer.status_code == 200, answer.text
        return [hit["id"] for hit in answer.json()["hits"]]

    assert set(found(tag=name)) == {first, second}
    for key in (f"score.{name}", score, f"metadata.{name}", column):
        assert found(**{f"{key}.gte": "0.5"}) == [second], key
    assert found(**{f"metadata.{name}": "0.25"}) == found(**{column: "0.25"}) == [first]
    for field in (f"scores.{name}", score, f"metadata.{name}", column):
        assert found(order_by=field) == [first, second]
        bins = client.get(f"{PATH}/histograms/{quote(field, safe='')}", params={"bins": 1}).json()
        assert bins["bins"][0]["count"] == 2
    body = {
        "filter": {"scores": {name: {"gte": 0.5}}, "metadata": {name: 0.75}},
        "order_by": {"field": column},
    }
    assert [hit["id"] for hit in client.post(f"{PATH}/search", json=body).json()["hits"]] == [second]
    raw = {"filter": {"where": {"must": [{"key": f"metadata.{name}", "range": {"lt": 0.5}}]}}}
    assert [hit["id"] for hit in client.post(f"{PATH}/search", json=raw).json()["hits"]] == [first]
    client.patch(f"{PATH}/images/{first}", json={"metadata": {name: None}})
    assert found(**{f"{column}.lte": "1"}) == [second]


def test_words_are_counted_under_any_name(client: TestClient, ids: dict[str, str]) -> None:
    first = next(iter(ids.values()))
    client.patch(f"{PATH}/images/{first}", json={"metadata": {"camera.make": "Cafe\u0301"}})
    for field in ("metadata.camera.make", 'metadata."camera.make"'):
        answer = client.get(f"{PATH}/facets/{quote(field, safe='')}").json()
        assert answer["values"] == [{"value": "Caf\u00e9", "count": 1}]
    told = client.get(f"{PATH}/facets/metadata.camera").json()
    assert told["code"] == "unknown_field" and 'metadata."camera.make"' in told["detail"]
