"""Tables of metadata, sent to images that are there."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import fill
from vitrine.api.routes import metadata
from vitrine.api.schemas import metadata as metadata_schemas
from vitrine.api.schemas.metadata import MetadataOut

PATH = "/v1/categories/colours/metadata"


def send(client: TestClient, text: str, name: str = "table.csv", **fields: Any) -> Any:
    return client.post(PATH, files={"file": (name, text.encode())}, data=fields)


def test_a_table_is_joined_and_its_rows_are_counted(client: TestClient) -> None:
    ids = fill(client)
    text = "filename,season,tags,post\nred.png,winter,new,My #Mug\nlost.png,summer,,\nblue.png,autumn\n"
    answer = send(client, text, hashtags="post")
    assert answer.status_code == 200, answer.text
    found = MetadataOut.model_validate(answer.json())
    assert (found.rows, found.matched, found.updated, found.unmatched.first) == (3, 1, 1, ["lost.png"])
    assert found.malformed.first[0].row == 4 and found.status == "refused"
    image = client.get(f"/v1/categories/colours/images/{ids['red']}").json()["payload"]
    assert image["metadata"] == {"year": 1990, "season": "winter", "post": "My #Mug", "hashtags": ["mug"]}
    assert image["tags"] == ["red", "flat", "new"]
    assert len(client.get("/v1/categories/colours/images?metadata.hashtags=mug").json()["hits"]) == 1
    assert send(client, text, hashtags="post").json()["updated"] == 0


def test_the_fields_of_the_form(client: TestClient) -> None:
    ids = fill(client)
    text = f'{{"who": "{ids["green"]}", "kind": "cold"}}\n'
    sent = {"on": "id", "column": "who", "class_from": "kind"}
    assert send(client, text, "t.jsonl", **sent, dry_run="true").json()["updated"] == 0  # it has a class
    assert send(client, text, "t.jsonl", **sent, overwrite="true").json()["updated"] == 1
    assert client.get(f"/v1/categories/colours/images/{ids['green']}").json()["payload"]["class"] == "cold"


@pytest.mark.parametrize(
    ("files", "fields", "code"),
    [
        ({"file": ("a.csv", b"file,x\nred.png,1\n")}, {"on": "nose"}, "bad_request"),
        ({"file": ("a.csv", b"file,x\nred.png,1\n")}, {"dry_run": "perhaps"}, "bad_request"),
        ({"file": ("a.csv", b"file,x\nred.png,1\n")}, {"other": "1"}, "bad_request"),
        ({"file": ("a.csv", b"file,x\nred.png,1\n")}, {"on": ["id", "key"]}, "bad_request"),
        ({"file": ("a.parquet", b"PAR1")}, {}, "bad_request"),
        ({"table": ("a.csv", b"file,x\n")}, {}, "bad_request"),
        ({"file": ("a.csv", b"season\nwinter\n")}, {}, "bad_source"),
        ({"file": ("a.csv", b"file,\xff\n\xff,1\n")}, {}, "bad_source"),
        ({"file": ("a.csv", b"")}, {}, "bad_source"),
        ({"file": ("a.csv", b"file,x\nred.png,1\n")}, {"hashtags": "nope"}, "bad_source"),
    ],
)  # fmt: skip
def test_what_is_refused(client: TestClient, files: Any, fields: Any, code: str) -> None:
    fill(client)
    answer = client.post(PATH, files=files, data=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_tables_are_bounded_and_categories_must_be_there(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(client, "file,x\nred.png,1\n").status_code == 404
    fill(client)
    monkeypatch.setattr(metadata, "MAX_TABLE_ROWS", 1)
    assert send(client, "file,x\nred.png,1\nblue.png,1\n").json()["code"] == "bad_source"
    assert client.post(PATH, json={}).status_code == 415


def test_the_example_is_valid() -> None:
    example = metadata_schemas.MetadataOut.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index,call-overload]
    MetadataOut.model_validate(example)


def test_errors_speak_of_what_was_sent(client: TestClient) -> None:
    fill(client)
    for name in ("seasons.csv", "é" * 120 + ".csv"):
        told = send(client, "season\nwinter\n", name)
        assert told.status_code == 422 and f"No column of {name[:10]}" in told.json()["detail"]
    for sent in (
        client.post(PATH, json={}),
        client.post(PATH, files={"file": (None, b"t.csv")}),
        client.post(PATH, data={"on": "id"}),
    ):
        assert "image" not in sent.json()["detail"] and "table" in sent.json()["detail"]
