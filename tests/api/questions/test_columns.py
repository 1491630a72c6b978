"""A whole category as arrays over HTTP."""

from __future__ import annotations

import gzip
import json
import struct
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import READ, client_on, fill, runtime_in, settings_in
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.runtime import Runtime

URL = "/v1/categories/colours/columns"


def parsed(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header, and the arrays by name, as a page takes them out of an answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    data = answer.content
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    begin = 4 + length
    assert begin % 8 == 0
    arrays = {}
    for column in header["columns"]:
        assert column["offset"] % 8 == 0
        width = column.get("length", 1)
        array = np.frombuffer(
            data, np.dtype(column["type"]).newbyteorder("<"), header["rows"] * width, begin + column["offset"]
        )
        arrays[column["name"]] = array if width == 1 else array.reshape(-1, width)
    return header, arrays


def words(header: Mapping[str, Any], arrays: Mapping[str, Any], name: str) -> list[Any]:
    """The values behind the codes of a column."""
    (column,) = (one for one in header["columns"] if one["name"] == name)
    return [None if code == 0 else column["values"][code - 1] for code in arrays[name].tolist()]


def rows(client: TestClient) -> list[str]:
    """The ids in order of rows."""
    data = client.get(f"{URL}/ids").content
    return [str(uuid.UUID(bytes=data[at : at + 16])) for at in range(0, len(data), 16)]


def payloads(client: TestClient) -> list[dict[str, Any]]:
    """The payloads in order of rows."""
    hits = client.get("/v1/categories/colours/images?limit=100").json()["hits"]
    by_id = {hit["id"]: hit["payload"] for hit in hits}
    return [by_id[id] for id in rows(client)]


def test_fields_come_as_arrays_in_order_of_id(shared: TestClient, shared_ids: dict[str, str]) -> None:
    assert rows(shared) == sorted(shared_ids.values())
    images = payloads(shared)
    fields = "class,tags,width,aspect,created_at,indexed_at,metadata.year,colour,filename"
    header, arrays = parsed(shared.get(URL, params={"fields": fields}))
    assert header["rows"] == len(images)
    assert [column["name"] for column in header["columns"]] == fields.split(",")
    assert words(header, arrays, "class") == [payload["class"] for payload in images]
    assert header["columns"][0]["values"] == ["cool", "warm"] and header["columns"][0]["type"] == "uint8"
    assert words(header, arrays, "tags") == [payload["tags"][0] for payload in images]
    assert words(header, arrays, "filename") == [payload["filename"] for payload in images]
    assert arrays["width"].tolist() == [payload["width"] for payload in images]
    assert arrays["metadata.year"].tolist() == [payload["metadata"]["year"] for payload in images]
    ratios = np.array([payload["width"] / payload["height"] for payload in images], np.float32)
    assert arrays["aspect"].tolist() == ratios.tolist()
    for field in ("created_at", "indexed_at"):
        moments = [datetime.fromisoformat(payload[field]).timestamp() for payload in images]
        assert arrays[field].tolist() == moments
    assert arrays["colour"].dtype == np.uint8
    for row, payload in zip(arrays["colour"].tolist(), images, strict=True):
        assert "#" + bytes(row).hex() == payload["colour"]


def test_maps_and_cluster_runs_come_as_arrays(client: TestClient, runtime: Runtime) -> None:
    ids = fill(client)
    spec = runtime.catalog.get("colours").encoder()
    places = runtime.maps.save("colours", CategoryMap("flat", "pca", spec.name, spec.revision, 4))
    runtime.maps.put_in_service("colours", places.key)
    nodes = {
        id: Node(id, parent, depth, 1, None, (), 0.5, children=children)
        for id, parent, depth, children in (
            (ROOT, None, 0, ("root-1",)),
            ("root-1", ROOT, 1, ("root-1-2",)),
            ("root-1-2", "root-1", 2, ()),
        )
    }
    centres = np.ones((3, 64), np.float32)
    run = runtime.clusters.save(
        "colours", ClusterRun("look", "tree", spec.name, spec.revision, nodes, centres, 4)
    )
    runtime.clusters.put_in_service("colours", run.key)
    order = sorted(ids.values())
    at = {id: (n / 8, 1 - n / 8) for n, id in enumerate(order[:4])}
    for id, (x, y) in at.items():
        runtime.vectors.set_payload("colours", {id: {places.key: {"x": x, "y": y}}}, key="maps")
        path = [ROOT, "root-1", "root-1-2"] if x else [ROOT]
        runtime.vectors.set_payload("colours", {id: {run.key: {"path": path}}}, key="clusters")
    runtime.catalog.ensure_indexes(
        "colours", {**dict.fromkeys(places.fields, "float"), run.payload_field: "keyword"}
    )
    header, arrays = parsed(client.get(URL, params={"fields": "map.flat,cluster.look"}))
    assert list(arrays) == ["map.flat.x", "map.flat.y", "cluster.look"]
    for number, id in enumerate(rows(client)):
        x, y = arrays["map.flat.x"][number], arrays["map.flat.y"][number]
        assert (x, y) == at[id] if id in at else np.isnan(x) and np.isnan(y)
    assert words(header, arrays, "cluster.look") == [ROOT, "root-1-2", "root-1-2", "root-1-2", None]
    before = client.get(URL, params={"fields": "map.flat"}).headers["etag"]
    runtime.maps.put_in_service("colours", places.key)  # made again under the same key
    assert client.get(URL, params={"fields": "map.flat"}).headers["etag"] != before


def test_nothing_is_sent_again_that_has_not_changed(client: TestClient) -> None:
    ids = fill(client)
    first = client.get(URL, params={"fields": "class"})
    tag = first.headers["etag"]
    assert tag.startswith('"') and first.headers["cache-control"] == "private, no-cache"
    again = client.get(URL, params={"fields": "class"}, headers={"If-None-Match": tag})
    assert again.status_code == 304 and not again.content
    plain = client.get(URL, params={"fields": "class"}, headers={"Accept-Encoding": "identity"})
    assert plain.headers["etag"] != tag
    for known in (tag, plain.headers["etag"], f"W/{tag}", f'"other", {tag}', "*"):
        assert client.get(f"{URL}/ids", headers={"If-None-Match": known}).status_code == 304
    client.patch(f"/v1/categories/colours/images/{ids['red']}", json={"class": "hot"})
    changed = client.get(URL, params={"fields": "class"}, headers={"If-None-Match": tag})
    assert "hot" in words(*parsed(changed), "class")
    assert changed.headers["etag"] != tag


def test_answers_are_compressed_where_that_is_accepted(
    shared: TestClient, shared_ids: dict[str, str]
) -> None:
    with shared.stream("GET", URL, params={"fields": "class"}, headers={"Accept-Encoding": "br, gzip"}) as it:
        raw = b"".join(it.iter_raw())
        assert it.headers["content-encoding"] == "gzip" and "Accept-Encoding" in it.headers["vary"]
    for refusing in ("identity", "gzip;q=0", ""):
        plain = shared.get(URL, params={"fields": "class"}, headers={"Accept-Encoding": refusing})
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(raw) == plain.content


def chosen(client: TestClient, **body: Any) -> set[str]:
    """The ids whose bits are set."""
    answer = client.post(f"{URL}/mask", json=body)
    assert answer.status_code == 200, answer.text
    ids = rows(client)
    assert len(answer.content) == -(-len(ids) // 8)
    assert answer.headers["x-vitrine-version"] == client.get(f"{URL}/ids").headers["x-vitrine-version"]
    return {id for row, id in enumerate(ids) if answer.content[row // 8] >> row % 8 & 1}


def test_a_mask_says_which_rows_a_question_finds(shared: TestClient, shared_ids: dict[str, str]) -> None:
    everything = set(shared_ids.values())
    warm = {shared_ids["red"], shared_ids["orange"]}
    assert chosen(shared) == everything
    assert chosen(shared, filter={"class": ["warm"]}) == warm
    assert chosen(shared, filter={"where": {"must_not": [{"key": "class", "match": {"value": "warm"}}]}}) == (
        everything - warm
    )
    assert chosen(shared, filter={"ids": [shared_ids["blue"]]}) == {shared_ids["blue"]}
    assert chosen(shared, text="red") == everything
    assert chosen(shared, text="red", filter={"class": ["cool"]}) == everything - warm
    assert chosen(shared, text="red", limit=1) == {shared_ids["red"]}
    assert chosen(shared, id=shared_ids["red"]) == everything - {shared_ids["red"]}


def test_a_mask_of_other_rows_is_refused(client: TestClient) -> None:
    ids = fill(client)
    tag = client.get(f"{URL}/ids").headers["etag"]
    for named in (tag, "*"):
        assert client.post(f"{URL}/mask", json={}, headers={"If-Match": named}).status_code == 200
    client.delete(f"/v1/categories/colours/images/{ids['red']}")
    answer = client.post(f"{URL}/mask", json={}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["code"]) == (409, "changed")
    assert client.post(f"{URL}/mask", json={}, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ("caption", 422, "unknown_field"),
        ("metadata.none", 422, "unknown_field"),
        ("map.none", 404, "not_found"),
        ("cluster.none", 404, "not_found"),
        (",", 422, "bad_request"),
        (",".join(f"metadata.f{number}" for number in range(65)), 422, "bad_request"),
    ],
)
def test_what_cannot_be_sent_is_refused(shared: TestClient, fields: str, status: int, code: str) -> None:
    answer = shared.get(URL, params={"fields": fields})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_arrays_need_a_key_and_a_category(tmp_path: Path) -> None:
    with runtime_in(settings_in(tmp_path, keys=(f"read:{READ}",))) as runtime, client_on(runtime) as client:
        key = {"X-API-Key": READ}
        for ask, path in (
            (client.get, f"{URL}?fields=class"),
            (client.get, f"{URL}/ids"),
            (client.post, f"{URL}/mask"),
        ):
            assert ask(path).status_code == 401
            assert ask(path, headers=key).json()["code"] == "not_found"
