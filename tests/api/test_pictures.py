"""The bytes of pictures: thumbnails, whole files, and parts of them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.api.helpers import COLOURS, picture, upload
from vitrine.services.runtime import Runtime

IMAGES = "/v1/categories/colours/images"


@pytest.fixture
def big(client: TestClient) -> str:
    """The address of an image of 2000 x 1000 pixels."""
    client.post("/v1/categories", json={"name": "colours"})
    sent = picture((9, 99, 199), size=(2000, 1000))
    answer = upload(client, "colours", ("big.png", sent))
    return str(answer.json()["items"][0]["urls"]["self"])


def test_thumbnails_come_in_four_widths(client: TestClient, big: str) -> None:
    for asked, width in ((1, 160), (160, 160), (161, 320), (600, 640), (1280, 1280), (99_999_999, 1280)):
        answer = client.get(f"{big}/thumbnail", params={"w": asked})
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
        assert Image.open(io.BytesIO(answer.content)).size == (width, width // 2), asked
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert Image.open(io.BytesIO(client.get(f"{big}/thumbnail").content)).size == (320, 160)
    for wrong in ("0", "-1", "wide", "1.5", "", "²"):
        refused = client.get(f"{big}/thumbnail", params={"w": wrong})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), wrong
        assert refused.json()["details"]["field"] == "w"


def test_a_thumbnail_is_made_once_and_known_by_its_etag(
    client: TestClient, runtime: Runtime, big: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.get(f"{big}/thumbnail", params={"w": 640})
    reads: list[str] = []
    get, retrieve = runtime.objects.get, runtime.vectors.retrieve

    def read(key: str, **part: Any) -> bytes:
        reads.append(key)
        return get(key, **part)

    def look_up(*asked: Any, **how: Any) -> Any:
        reads.append("engine")
        return retrieve(*asked, **how)

    monkeypatch.setattr(runtime.objects, "get", read)
    monkeypatch.setattr(runtime.vectors, "retrieve", look_up)
    assert client.get(f"{big}/thumbnail", params={"w": 600}).content == first.content and reads == []
    same = client.get(f"{big}/thumbnail", params={"w": 640}, headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"") and "immutable" in same.headers["cache-control"]
    other = client.get(
        f"{big}/thumbnail", params={"w": 320}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert other.status_code == 200


def test_deleted_images_and_categories_take_their_thumbnails_along(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    for id in ids.values():
        for width in (160, 320):
            assert client.get(f"{IMAGES}/{id}/thumbnail", params={"w": width}).status_code == 200
    assert client.delete(f"{IMAGES}/{ids['red']}").status_code == 200
    in_bin = client.get(f"{IMAGES}/{ids['red']}/thumbnail", params={"w": 640})
    assert in_bin.status_code == 200  # it can be restored, so it can be looked at
    client.delete("/v1/categories/colours/bin")
    assert client.get(f"{IMAGES}/{ids['red']}/thumbnail").status_code == 404
    kept = [stat.key for stat in runtime.objects.list("_thumbnails/")]
    assert len(kept) == 2 * (len(ids) - 1) and not any(ids["red"] in key for key in kept)
    client.delete("/v1/categories/colours?confirm=colours")
    assert list(runtime.objects.list("_thumbnails/")) == []
    gone = client.get(f"{IMAGES}/{ids['blue']}/thumbnail")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def test_a_new_image_has_a_colour_and_a_blur(client: TestClient, ids: dict[str, str]) -> None:
    for name, colour in COLOURS.items():
        payload = client.get(f"{IMAGES}/{ids[name]}").json()["payload"]
        found = [int(payload["colour"][place : place + 2], 16) for place in (1, 3, 5)]
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 6
        assert len(payload["blur"]) == 28


@pytest.mark.parametrize("rest", ["file", "thumbnail"])
def test_parts_of_files_are_served(shared: TestClient, shared_ids: dict[str, str], rest: str) -> None:
    path = f"{IMAGES}/{shared_ids['red']}/{rest}"
    whole = shared.get(path)
    data, size = whole.content, len(whole.content)
    assert whole.headers["accept-ranges"] == "bytes"

    def part(asked: str, **headers: str) -> Any:
        return shared.get(path, headers={"Range": asked, **headers})

    for asked, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=5-5", 5, 5),
        ("bytes=10-", 10, size - 1),
        (f"bytes=3-{size + 100}", 3, size - 1),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes=-{size + 5}", 0, size - 1),
        ("Bytes= 1-2 ", 1, 2),
    ):
        answer = part(asked)
        assert (answer.status_code, answer.content) == (206, data[first : last + 1]), asked
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert int(answer.headers["content-length"]) == last + 1 - first
        for header in ("etag", "cache-control", "content-type", "content-disposition"):
            assert answer.headers[header] == whole.headers[header]
    for asked in (f"bytes={size}-", f"bytes={size + 5}-{size + 9}", "bytes=-0"):
        answer = part(asked)
        assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable"), asked
        assert answer.headers["content-range"] == f"bytes */{size}"
    for asked in ("bytes=9-3", "bytes=-", "lines=0-3", "bytes=0-1,5-6", "bytes=a-b", "bytes 0-3"):
        answer = part(asked)
        assert (answer.status_code, answer.content) == (200, data), asked
    same = whole.headers["etag"]
    assert part("bytes=0-9", **{"If-Range": same}).status_code == 206
    for other in ('"other"', f"W/{same}", "Mon, 01 Jan 2024 00:00:00 GMT"):
        assert part("bytes=0-9", **{"If-Range": other}).content == data, other
    assert part("bytes=0-9", **{"If-None-Match": same}).status_code == 304


@pytest.mark.parametrize("rest", ["file", "thumbnail"])
def test_head_says_what_get_would(shared: TestClient, shared_ids: dict[str, str], rest: str) -> None:
    path = f"{IMAGES}/{shared_ids['blue']}/{rest}"
    whole = shared.get(path)
    for headers in ({}, {"Range": "bytes=0-3"}):  # a range is of GET alone
        head = shared.head(path, headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        for header in ("content-length", "content-type", "etag", "accept-ranges", "cache-control"):
            assert head.headers[header] == whole.headers[header]
    assert shared.head(f"{IMAGES}/{shared_ids['blue']}x/{rest}").status_code == 404


def send(client: TestClient, data: bytes, **headers: str) -> Any:
    return client.post("/v1/pictures", files={"file": ("a.png", data)}, headers=headers)


def test_a_picture_is_sent_once_and_searched_by_again(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    answer = send(client, picture(COLOURS["red"], size=(800, 600)))
    assert answer.status_code == 201, answer.text
    sent = answer.json()
    assert (sent["width"], sent["height"]) == (800, 600) and len(sent["picture"]) == 64
    assert sent["expires_at"].endswith("Z")
    shown = client.get(sent["urls"]["thumbnail"])
    assert shown.headers["content-type"] == "image/webp" and "immutable" in shown.headers["cache-control"]
    assert Image.open(io.BytesIO(shown.content)).size == (320, 240)
    head = client.head(sent["urls"]["thumbnail"], headers={"If-None-Match": shown.headers["etag"]})
    assert head.status_code == 304

    def found(path: str = "search", **question: Any) -> list[str]:
        body = {"limit": 1, **question}
        reply = client.post(
            f"/v1/categories/colours/{path}", json={"searches": [body]} if path == "searches" else body
        )
        assert reply.status_code == 200, reply.text
        tree = reply.json()
        hits = tree["answers"][0]["hits"] if path == "searches" else tree["hits"]
        return [name for name, id in ids.items() if id in [hit["id"] for hit in hits]]

    example = f"picture:{sent['picture']}"
    assert found(positive=[example]) == found("searches", positive=[example]) == ["red"]
    assert found(positive=[example], negative=[ids["red"]]) == ["orange"]
    assert found(positive=[example, ids["red"]], text="red") == ["orange"]
    assert found(text="green", negative=[example]) == ["green"]
    assert found(text="blue", positive=[ids["black"]], limit=1) == ["blue"]
    runtime.objects.delete("_pictures/" + sent["picture"])
    gone = client.post("/v1/categories/colours/search", json={"positive": [example]})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert "send it again" in gone.json()["detail"].lower()
    assert client.get(sent["urls"]["thumbnail"]).status_code == 404


def test_what_is_no_picture_is_not_kept(client: TestClient, runtime: Runtime) -> None:
    refused = send(client, b"no picture")
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_format")
    assert client.post("/v1/pictures", json={"image": "!"}).status_code == 422
    assert client.post("/v1/pictures", files={"other": ("a.png", picture())}).status_code == 422
    assert list(runtime.objects.list("_pictures/")) == []
    for wrong in ("x", "a" * 64, "A" * 64, "..%2f..%2fx"):
        assert client.get(f"/v1/pictures/{wrong}/thumbnail").status_code == 404, wrong
    for example in ("picture:", "picture:x", "picture:" + "a" * 64):
        answer = client.post("/v1/categories/none/search", json={"positive": [example]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
