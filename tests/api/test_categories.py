from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from tests.api.helpers import client_on, fill, runtime_in, settings_in
from vitrine.api.responses import shown_model
from vitrine.services.domain import EncoderSpec, Preprocessing
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.object_store.base import list_keys
from vitrine.services.runtime import Runtime

OTHER = EncoderSpec(
    "other",
    "/srv/models/secret/my-model",
    "sha256:1",
    8,
    ("image",),
    Preprocessing(32, (32, 32), (0, 0, 0), (1, 1, 1)),
)


def test_a_category_is_made_read_changed_and_deleted(client: TestClient) -> None:
    made = client.post("/v1/categories", json={"name": "pets", "description": "Dogs"})
    assert made.status_code == 201 and made.headers["location"] == "/v1/categories/pets"
    assert made.json()["encoders"][0] | {"dim": 0} == {
        "name": "colour",
        "model": "vitrine/colour",
        "revision": "colour-1-64",
        "dim": 0,
        "modalities": ["image", "text"],
    }
    assert client.get("/v1/categories/pets").json() == made.json()
    changed = client.patch("/v1/categories/pets", json={"description": "Dogs and cats"})
    assert changed.status_code == 200 and changed.json()["description"] == "Dogs and cats"
    assert client.get("/v1/categories/pets").json()["description"] == "Dogs and cats"
    assert client.delete("/v1/categories/pets", params={"confirm": "pets"}).status_code == 204
    gone = client.get("/v1/categories/pets")
    assert gone.status_code == 404 and gone.json()["code"] == "not_found"


def test_categories_are_listed_by_name_with_their_counts(client: TestClient, ids: dict[str, str]) -> None:
    client.post("/v1/categories", json={"name": "a-first"})
    listed = client.get("/v1/categories").json()["categories"]
    assert [(category["name"], category["images"]) for category in listed] == [
        ("a-first", 0),
        ("colours", len(ids)),
    ]
    assert listed[1]["indexes"]["metadata.year"] == "integer"


def test_deleting_needs_the_name_again(client: TestClient, ids: dict[str, str]) -> None:
    for confirm in ({}, {"confirm": "Colours"}, {"confirm": ""}):
        refused = client.delete("/v1/categories/colours", params=confirm)
        assert (refused.status_code, refused.json()["code"]) == (422, "confirmation_needed")
    assert client.get("/v1/categories/colours").json()["images"] == len(ids)
    missing = client.delete("/v1/categories/nothing", params={"confirm": "nothing"})
    assert missing.status_code == 404


def test_a_name_is_taken_once_and_must_be_sound(client: TestClient) -> None:
    assert client.post("/v1/categories", json={"name": "pets"}).status_code == 201
    again = client.post("/v1/categories", json={"name": "pets"})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    for name in ("", "Pets", "../etc", "a/b", "x" * 64, "a b", "-a", "a\u0000", "ä"):
        refused = client.post("/v1/categories", json={"name": name})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), name


def test_an_encoder_is_one_the_server_knows(client: TestClient) -> None:
    for reference in ("/etc", "./models", "mine=/srv/models/x", "org/model", "org/model@main", "../x", ""):
        refused = client.post("/v1/categories", json={"name": "pets", "encoders": [reference]})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_request"), reference
    twice = client.post("/v1/categories", json={"name": "pets", "encoders": ["colour", "colour"]})
    assert twice.status_code == 422
    absent = client.post(
        "/v1/categories", json={"name": "pets", "encoders": ["vit"]}
    )  # offline, and not on the disk
    assert (absent.status_code, absent.json()["code"]) == (503, "model_unavailable")
    assert "/" not in absent.json()["detail"] and "details" not in absent.json()


def test_an_encoder_is_added_once(client: TestClient, runtime: Runtime) -> None:
    client.post("/v1/categories", json={"name": "pets"})
    same = client.patch("/v1/categories/pets", json={"add_encoder": "colour"})
    assert same.status_code == 200 and len(same.json()["encoders"]) == 1
    runtime.catalog.create("plain", [OTHER])
    unloadable = client.patch("/v1/categories/pets", json={"add_encoder": "other"})
    assert unloadable.status_code == 503


def test_the_default_encoder_is_chosen(client: TestClient, runtime: Runtime) -> None:
    client.post("/v1/categories", json={"name": "pets"})
    runtime.catalog.add_encoder("pets", ColourEncoder("second", 16).spec)
    changed = client.patch("/v1/categories/pets", json={"default": "second"})
    assert (changed.status_code, changed.json()["default"]) == (200, "second")
    unknown = client.patch("/v1/categories/pets", json={"default": "third", "description": "never written"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_vector")
    assert client.get("/v1/categories/pets").json()["default"] == "second"


def test_quantised_copies_are_chosen_and_changed(client: TestClient, runtime: Runtime) -> None:
    made = client.post("/v1/categories", json={"name": "pets", "quantization": "int8"})
    assert (made.status_code, made.json()["quantization"]) == (201, "int8")
    assert runtime.vectors.info("pets").schema.quantization == "int8"
    changed = client.patch("/v1/categories/pets", json={"quantization": "none"})
    assert (changed.status_code, changed.json()["quantization"]) == (200, "none")
    assert runtime.vectors.info("pets").schema.quantization is None
    assert client.patch("/v1/categories/pets", json={"quantization": "int3"}).status_code == 422


def test_encoders_tell_presets_loaded_ones_and_those_of_categories(
    client: TestClient, runtime: Runtime
) -> None:
    client.post("/v1/categories", json={"name": "pets"})
    runtime.catalog.create("plain", [OTHER])
    told = client.get("/v1/encoders").json()
    assert told["default"] == "colour" and told["precision"] == "auto" and told["device"] == "auto"
    assert told["presets"]["clip"] == "openai/clip-vit-base-patch32"
    assert [spec["name"] for spec in told["loaded"]] == ["colour"]
    assert [(spec["category"], spec["name"], spec["loaded"]) for spec in told["categories"]] == [
        ("pets", "colour", True),
        ("plain", "other", False),
    ]
    assert told["categories"][1]["model"] == "my-model"  # never the server's folder


def test_a_trained_encoder_is_shown_by_its_category_name_and_version() -> None:
    assert shown_model("store:_encoders/shop/look/1") == "shop/look/1"


def test_unknown_fields_are_refused_by_name(client: TestClient) -> None:
    refused = client.post("/v1/categories", json={"name": "pets", "colour": "red"})
    assert refused.status_code == 422
    assert refused.json()["details"]["errors"][0]["field"] == "colour"


def test_the_default_encoder_goes_by_its_name(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, encoder="mine=vitrine/colour")
    with runtime_in(settings) as runtime, client_on(runtime) as client:
        assert client.get("/v1/encoders").json()["default"] == "mine"
        for body in ({"name": "one"}, {"name": "two", "encoders": ["mine"]}):
            made = client.post("/v1/categories", json=body)
            assert made.status_code == 201 and made.json()["encoders"][0]["name"] == "mine", made.text


def test_a_damaged_category_is_listed_and_its_deletion_keeps_the_pictures(
    runtime: Runtime, client: TestClient
) -> None:
    fill(client, "pets")
    fill(client, "shop")
    pictures = list_keys(runtime.objects, "pets/images/")
    runtime.objects.put("_categories/pets.json", b'{"format": 1, "na')
    runtime.known.forget_all("")
    listed = client.get("/v1/categories").json()
    assert [category["name"] for category in listed["categories"]] == ["shop"]
    assert [(other["name"], other["state"]) for other in listed["others"]] == [("pets", "damaged")]
    refused = client.post("/v1/categories/pets/search", json={"text": "red"})
    assert (refused.status_code, refused.json()["code"]) == (503, "store_damaged")
    assert "'pets'" in refused.json()["detail"] and "objects:pets/images/" in refused.json()["detail"]
    asked = client.delete("/v1/categories/pets")
    assert asked.status_code == 422 and "keeps its pictures" in asked.json()["detail"]
    deleted = client.delete("/v1/categories/pets", params={"confirm": "pets"})
    assert deleted.status_code == 200 and deleted.json() == {
        "category": "pets",
        "images_kept": "objects:pets/images/",
    }
    assert list_keys(runtime.objects, "pets/images/") == pictures
    left = client.get("/v1/categories").json()["others"]
    assert [(other["name"], other["state"]) for other in left] == [("pets", "leftover")]
    assert client.delete("/v1/categories/pets", params={"confirm": "pets"}).status_code == 204
    assert list_keys(runtime.objects, "pets/") == [] and client.get("/v1/categories").json()["others"] == []


def test_pictures_stay_or_go_as_asked(runtime: Runtime, client: TestClient) -> None:
    fill(client, "pets")
    assert (
        client.delete("/v1/categories/pets", params={"confirm": "pets", "images": "keep"}).status_code == 200
    )
    assert len(list_keys(runtime.objects, "pets/images/")) == 5
    fill(client, "shop")
    runtime.vectors.drop("shop")
    assert (
        client.delete("/v1/categories/shop", params={"confirm": "shop", "images": "delete"}).status_code
        == 204
    )
    assert list_keys(runtime.objects, "shop/") == []
    assert (
        client.delete("/v1/categories/shop", params={"confirm": "shop", "images": "some"}).status_code == 422
    )


def test_what_was_made_in_another_format_is_no_reason_to_delete_the_category(
    client: TestClient, runtime: Runtime
) -> None:
    client.post("/v1/categories", json={"name": "pets"})
    for pointer in (b'{"format": 1, "in_service": {}}', b"{}"):
        runtime.objects.put("_taggers/pets/current.json", pointer)
        runtime.known.forget_all("")
        refused = client.get("/v1/categories/pets/taggers")
        detail = refused.json()["detail"]
        assert refused.status_code == 503 and "made in category 'pets'" in detail and "DELETE" not in detail
