from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import COLOURS, picture, upload
from vitrine.api.schemas.images import ImageOut, UploadOut
from vitrine.api.schemas.search import SearchOut
from vitrine.services.runtime import Runtime

IMAGES = "/v1/categories/colours/images"
ABSENT = "00000000-0000-5000-8000-000000000000"


def test_uploads_are_answered_one_by_one_in_order(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    red, cut = picture(), picture(kind="JPEG")[:200]
    answer = upload(
        client,
        "colours",
        ("a.txt", b"words"),
        ("b.png", red),
        ("c.jpg", cut),
        ("d.png", b""),
        ("e.png", picture((1, 2, 3))),
    )
    assert answer.status_code == 201
    body = answer.json()
    UploadOut.model_validate(body)
    assert [(item["filename"], item["outcome"], item["reason"]) for item in body["items"]] == [
        ("a.txt", "refused", "unsupported_format"),
        ("b.png", "added", None),
        ("c.jpg", "refused", "damaged_image"),
        ("d.png", "refused", "empty_file"),
        ("e.png", "added", None),
    ]
    assert body["counts"] == {"added": 2, "refused": 3}
    assert client.get(body["items"][1]["urls"]["file"]).content == red
    assert body["items"][0]["message"] and body["items"][0]["id"] is None


def test_an_upload_is_refused_where_the_encoder_gives_other_vectors_than_those_stored(
    client: TestClient, runtime: Runtime
) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    id = upload(client, "colours", ("red.png", picture(COLOURS["red"]))).json()["items"][0]["id"]
    (spec,) = runtime.catalog.get("colours").encoders
    other = np.eye(1, spec.dim, dtype=np.float32)
    runtime.vectors.update_vectors("colours", [id], spec.name, other)
    answer = upload(client, "colours", ("blue.png", picture(COLOURS["blue"])))
    assert (answer.status_code, answer.json()["code"]) == (409, "encoder_mismatch")
    assert client.get("/v1/categories/colours").json()["images"] == 1


def test_the_same_bytes_again_are_known_and_new_words_update_them(
    client: TestClient, ids: dict[str, str]
) -> None:
    red = picture(COLOURS["red"])
    again = upload(client, "colours", ("red.png", red), tags=["red", "flat"])
    assert again.status_code == 200 and again.json()["items"][0]["id"] == ids["red"]
    assert again.json()["items"][0]["outcome"] == "known"
    more = upload(client, "colours", ("red.png", red), tags='["bright, very", "red"]')
    assert more.status_code == 200 and more.json()["items"][0]["outcome"] == "updated"
    tags = client.get(f"{IMAGES}/{ids['red']}").json()["payload"]["tags"]
    assert set(tags) == {"red", "flat", "bright, very"}
    assert client.get("/v1/categories/colours").json()["images"] == len(ids)


def test_an_upload_carries_what_is_said_of_it(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    fields = {
        "class": "warm",
        "caption": "a red square",
        "metadata": '{"year": 1999, "place": "Oslo"}',
        "tags": ["a", "b"],
    }
    answer = client.post(IMAGES, files={"file": ("x.png", picture())}, data=fields)
    assert answer.status_code == 201
    payload = client.get(answer.json()["items"][0]["urls"]["self"]).json()["payload"]
    assert payload["class"] == "warm" and payload["caption"] == "a red square"
    assert payload["metadata"] == {"year": 1999, "place": "Oslo"} and payload["tags"] == ["a", "b"]
    assert payload["width"] == 40 and payload["media_type"] == "image/png"


def test_the_same_bytes_said_to_be_something_else_are_a_conflict(
    client: TestClient, ids: dict[str, str]
) -> None:
    answer = upload(
        client,
        "colours",
        ("rot.png", picture(COLOURS["red"])),
        **{"class": "hot", "metadata": '{"year": 1990}'},
    )
    (item,) = answer.json()["items"]
    assert (answer.status_code, item["outcome"], item["id"]) == (200, "known", ids["red"])
    assert item["conflicts"] == [
        {"field": "filename", "kept": "red.png", "said": "rot.png"},
        {"field": "class", "kept": "warm", "said": "hot"},
    ]
    kept = client.get(f"/v1/categories/colours/images/{ids['red']}").json()["payload"]
    assert (kept["class"], kept["filename"]) == ("warm", "red.png")


def test_refusing_every_file_is_an_error_with_the_reason(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    text = upload(client, "colours", ("a.txt", b"words"))
    assert (text.status_code, text.json()["code"]) == (415, "unsupported_format")
    assert text.json()["details"]["items"][0]["filename"] == "a.txt"
    texts = upload(client, "colours", ("a.txt", b"words"), ("b.txt", b"more words"))
    assert (texts.status_code, texts.json()["code"]) == (415, "unsupported_format")
    mixed = upload(client, "colours", ("a.txt", b"words"), ("b.png", picture()[:50]))
    assert (mixed.status_code, mixed.json()["code"]) == (422, "image_refused")
    assert [item["reason"] for item in mixed.json()["details"]["items"]] == [
        "unsupported_format",
        "damaged_image",
    ]


def test_a_broken_upload_form_is_refused(client: TestClient, ids: dict[str, str]) -> None:
    cases: list[tuple[Any, Any]] = [
        ({"files": (None, "words")}, {}),
        ({"colour": ("a.png", picture())}, {}),
        ({"files": ("a.png", picture())}, {"colour": "red"}),
        ({"files": ("a.png", picture())}, {"metadata": "[1]"}),
        ({"files": ("a.png", picture())}, {"metadata": "{"}),
        ({"files": ("a.png", picture())}, {"metadata": '{"": 1}'}),
        ({"files": ("a.png", picture())}, {"metadata": '{"a": {"b": 1}}'}),
        ({"files": ("a.png", picture())}, {"tags": "[1]"}),
        ({"files": ("a.png", picture())}, {"tags": "x" * 201}),
        ({"files": ("a.png", picture())}, {"class": ["a", "b"]}),
    ]
    for files, data in cases:
        answer = client.post(IMAGES, files=files, data=data)
        assert answer.status_code == 422, (data, answer.text)
    forgotten = client.post(IMAGES, files={"files": (None, "a.png")})
    assert "is text, not a file" in forgotten.json()["detail"]
    plain = client.post(IMAGES, json={})
    assert (plain.status_code, plain.json()["code"]) == (415, "unsupported_media_type")
    missing = upload(client, "nothing", ("a.png", picture()))
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\rex.png", "rex.png"),
        ("..", "unnamed"),
        ('a"; x="b.png', 'a"; x="b.png'),
        ("bär 狗.png", "bär 狗.png"),
        ("<script>.svg", "<script>.svg"),
        ("x" * 400 + ".png", "x" * 255),
    ],
)
def test_hostile_filenames_are_shown_and_never_opened(client: TestClient, sent: str, shown: str) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    item = upload(client, "colours", (sent, picture())).json()["items"][0]
    assert item["outcome"] == "added"
    name = item["filename"]
    assert "/" not in name and "\\" not in name and len(name) <= 255
    assert name.startswith(shown[:200]) or '"' in shown
    disposition = client.get(item["urls"]["file"]).headers["content-disposition"]
    assert disposition.startswith('inline; filename="') and disposition.isascii()
    assert disposition.count('"') == 2 and "\r" not in disposition and "\n" not in disposition
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == name


def test_a_filename_cannot_add_headers(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="a%0d%0aSet-Cookie: b=c\tq.png"\r\n'
        b"Content-Type: image/png\r\n\r\n" + picture() + b"\r\n--x--\r\n"
    )
    answer = client.post(IMAGES, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 201
    file = client.get(answer.json()["items"][0]["urls"]["file"])
    assert file.status_code == 200 and "set-cookie" not in file.headers


def test_a_file_is_served_whole_cached_for_ever_and_inert(client: TestClient, ids: dict[str, str]) -> None:
    red = picture(COLOURS["red"])
    file = client.get(f"{IMAGES}/{ids['red']}/file")
    assert file.content == red and file.headers["content-type"] == "image/png"
    assert file.headers["etag"] == f'"{hashlib.sha256(red).hexdigest()}"'
    assert "immutable" in file.headers["cache-control"] and "private" in file.headers["cache-control"]
    assert (
        file.headers["x-content-type-options"] == "nosniff"
        and "sandbox" in file.headers["content-security-policy"]
    )
    for tags in (file.headers["etag"], f'"other", W/{file.headers["etag"]}', "*"):
        same = client.get(f"{IMAGES}/{ids['red']}/file", headers={"If-None-Match": tags})
        assert same.status_code == 304 and not same.content and same.headers["etag"] == file.headers["etag"]
    other = client.get(f"{IMAGES}/{ids['red']}/file", headers={"If-None-Match": '"other"'})
    assert other.status_code == 200
    here = client.get(f"{IMAGES}/{ids['red']}/file?redirect=true", follow_redirects=False)
    assert here.status_code == 200  # a folder has no address to redirect to


def test_a_store_with_an_address_is_redirected_to(
    client: TestClient, runtime: Runtime, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.objects, "url", lambda key: f"https://minio.example/{key}?signature=1")
    there = client.get(f"{IMAGES}/{ids['red']}/file?redirect=true", follow_redirects=False)
    assert there.status_code == 307 and there.headers["location"].startswith("https://minio.example/colours/")
    assert there.headers["cache-control"] == "no-store"


def test_an_image_is_read_changed_and_deleted(
    client: TestClient, ids: dict[str, str], runtime: Runtime
) -> None:
    path = f"{IMAGES}/{ids['red']}"
    changes = {
        "add_tags": ["mine"],
        "remove_tags": ["flat"],
        "class": None,
        "quality": 0.5,
        "metadata": {"place": "Oslo"},
    }
    changed = client.patch(path, json=changes)
    assert changed.status_code == 200
    ImageOut.model_validate(changed.json())
    payload = changed.json()["payload"]
    assert payload["tags"] == ["red", "mine"] and "class" not in payload and payload["quality"] == 0.5
    assert payload["metadata"] == {"year": 1990, "place": "Oslo"}
    assert client.get(path).json()["payload"] == payload
    assert (
        client.get(IMAGES, params={"tag": "mine", "metadata.place": "Oslo"}).json()["hits"][0]["id"]
        == ids["red"]
    )
    for body in (
        {"quality": 2},
        {"tags": [1]},
        {"colour": 1},
        {"metadata": {"": 1}},
        {"metadata": {"year": "long ago"}},
        {"metadata": {"a": {}}},
        {"add_tags": ["x" * 201]},
    ):
        refused = client.patch(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), body
    before = runtime.catalog.get("colours").images
    assert client.delete(path, params={"for_good": True}).json() == {"deleted": 1, "undo": None}
    assert runtime.catalog.get("colours").images == before - 1
    for answer in (
        client.get(path),
        client.delete(path),
        client.patch(path, json={}),
        client.get(f"{path}/file"),
        client.get(f"{path}/thumbnail"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "id", [ABSENT, "x", "..%2f..%2fetc%2fpasswd", "%00", "a" * 3000, ABSENT.upper(), "%F0%9F%90%95"]
)
def test_strange_ids_are_not_found(shared: TestClient, id: str) -> None:
    for method, rest in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/file"), ("GET", "/thumbnail")):
        answer = shared.request(method, f"{IMAGES}/{id}{rest}", json={} if method == "PATCH" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, rest)


def test_a_missing_file_is_told_without_its_place(
    client: TestClient, runtime: Runtime, ids: dict[str, str]
) -> None:
    runtime.objects.delete(runtime.searcher.image("colours", ids["red"]).payload["object_key"])
    for rest in ("file", "thumbnail"):
        answer = client.get(f"{IMAGES}/{ids['red']}/{rest}")
        assert answer.status_code == 404 and "colours/images" not in answer.text


def test_pages_by_cursor_show_every_image_once(client: TestClient) -> None:
    client.post("/v1/categories", json={"name": "colours"})
    files = [(f"{n}.png", picture((n * 5, 255 - n * 3, n))) for n in range(23)]
    added = upload(client, "colours", *files)
    everything = {item["id"] for item in added.json()["items"]}
    for parameters in ({}, {"order_by": "bytes"}, {"order_by": "created_at", "descending": "true"}):
        seen: list[str] = []
        cursor = None
        while True:
            query = {**parameters, "limit": 5, **({"cursor": cursor} if cursor else {})}
            page = client.get(IMAGES, params=query)
            assert page.status_code == 200, page.text
            SearchOut.model_validate(page.json())
            seen += [hit["id"] for hit in page.json()["hits"]]
            cursor = page.json()["cursor"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) and set(seen) == everything


def test_a_listing_is_filtered_by_the_query_string(client: TestClient, ids: dict[str, str]) -> None:
    def listed(**parameters: Any) -> set[str]:
        answer = client.get(IMAGES, params=parameters)
        assert answer.status_code == 200, answer.text
        names = {id: name for name, id in ids.items()}
        return {names[hit["id"]] for hit in answer.json()["hits"]}

    assert listed(tag=["red", "flat"]) == {"red"}
    assert listed(**{"tag.any": ["red", "blue"]}) == {"red", "blue"}
    assert listed(**{"tag.none": "red", "class": "warm"}) == {"orange"}
    assert listed(**{"metadata.year": 1992}) == {"green"}
    assert listed(**{"metadata.year.gte": 1993}) == {"blue", "black"}
    assert listed(id=[ids["red"]]) == {"red"}
    assert len(listed(random="true", limit=2)) == 2


BAD_QUERIES = [
    "colour=red",
    "limit=0",
    "limit=10001",
    "limit=x",
    "limit=99999999999999999999999",
    "cursor=zzz",
    "order_by=caption",
    "order_by=class",
    "quality.gte=high",
    "quality.gte=nan",
    "quality.gte=inf",
    "quality=high",
    "metadata.weight=3",
    "descending=true",
    "metadata.year=old",
    "score.cat.gte=0.5",
    "random=perhaps",
    "created_at.gte=yesterday",
    "random=true&order_by=width",
    "metadata.year.gte=1&metadata.year=2",
    "metadata.year=2&metadata.year.gte=1",
    "cluster.=x",
]


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_bad_query_strings_are_refused(shared: TestClient, query: str) -> None:
    answer = shared.get(f"{IMAGES}?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] in ("bad_request", "unknown_field")


@pytest.mark.parametrize(
    "query",
    ["tag", "id=x", "metadata.year=99999999999999999999999", "cursor=&cursor=", "metadata.year.gte=-1e308"],
)
def test_strange_query_strings_are_no_server_error(shared: TestClient, query: str) -> None:
    assert shared.get(f"{IMAGES}?{query}").status_code in (200, 404, 422)


def test_metadata_survives_a_round_trip(client: TestClient, ids: dict[str, str]) -> None:
    columns = {"place": "Oslo", "rating": 4.5, "sold": True, "sizes": ["s", "m"], "red mug": 1}
    changed = client.patch(f"{IMAGES}/{ids['red']}", json={"metadata": columns})
    assert changed.json()["payload"]["metadata"] == {"year": 1990, **columns}
    for query in ("metadata.rating.gte=4", "metadata.sold=true", "metadata.sizes=m", "metadata.red%20mug=1"):
        assert [hit["id"] for hit in client.get(f"{IMAGES}?{query}").json()["hits"]] == [ids["red"]], query
    assert json.loads(client.get(f"{IMAGES}/{ids['red']}").content)["payload"]["metadata"]["rating"] == 4.5


def test_files_that_a_category_holds_are_told_by_their_hash(client: TestClient, ids: dict[str, str]) -> None:
    red, blue, other = (
        hashlib.sha256(picture(colour)).hexdigest() for colour in (COLOURS["red"], COLOURS["blue"], (1, 2, 3))
    )
    assert client.delete(f"{IMAGES}/{ids['blue']}").status_code == 200  # into the bin
    answer = client.post(f"{IMAGES}/known", json={"sha256": [other, red.upper(), blue, red]})
    assert answer.status_code == 200
    assert answer.json() == {"known": {red.upper(): ids["red"], red: ids["red"]}}
    assert client.post(f"{IMAGES}/known", json={"sha256": []}).json() == {"known": {}}


@pytest.mark.parametrize(
    "body", [{}, {"sha256": ["red"]}, {"sha256": ["0" * 64] * 10_001}, {"sha256": ["0" * 64 + "\n"]}]
)
def test_what_is_no_list_of_hashes_is_refused(client: TestClient, ids: dict[str, str], body: object) -> None:
    answer = client.post(f"{IMAGES}/known", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")


def test_the_files_of_a_category_that_is_not_there_are_not_told(client: TestClient) -> None:
    assert client.post("/v1/categories/nothing/images/known", json={"sha256": []}).status_code == 404
