"""What people decide on near-duplicates over HTTP, and how it is taken back."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.helpers import upload
from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import file_of
from vitrine.api.schemas.findings.duplicates import (
    DecisionOut,
    DuplicateGroupOut,
    DuplicateGroupsOut,
    DuplicatesOut,
)
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.services.runtime import Runtime

SHOP = "/v1/categories/shop"
GROUPS, DECISIONS = f"{SHOP}/duplicates/groups", f"{SHOP}/duplicates/decisions"


@pytest.fixture
def shop(client: TestClient, runtime: Runtime) -> dict[str, str]:
    """A category in which one scene has two copies and another one; ids by file name."""
    client.post("/v1/categories", json={"name": "shop"})
    files = [(f"{n}.png", file_of(scene(n))) for n in range(3)]
    copies = [
        ("0a.jpg", file_of(scene(0), "JPEG", 60)),
        ("0b.jpg", file_of(scene(0), "JPEG", 40)),
        ("1a.png", file_of(scene(1).resize((160, 120)))),
    ]
    items = upload(client, "shop", *files, *copies, tags="new").json()["items"]
    find_duplicates(runtime, "shop")
    return {item["filename"]: item["id"] for item in items}


def groups(client: TestClient, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(GROUPS + query)
    DuplicateGroupsOut.model_validate(answer.json())
    found: list[dict[str, Any]] = answer.json()["groups"]
    return found


def decide(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post(DECISIONS, json=body)
    assert answer.status_code == 200, answer.text
    DecisionOut.model_validate(answer.json())
    done: dict[str, Any] = answer.json()
    return done


def undo(client: TestClient, done: dict[str, Any]) -> None:
    assert client.post(f"/v1/undo/{done['undo']['token']}").status_code == 200


def test_groups_are_listed_with_their_images_and_the_reason(client: TestClient, shop: dict[str, str]) -> None:
    first, second = groups(client)
    assert {member["id"] for member in first["members"]} == {
        shop[name] for name in ("0.png", "0a.jpg", "0b.jpg")
    }
    assert (first["keep"], first["chosen"], first["reason"]) == (shop["0.png"], False, "format")
    assert (second["keep"], second["reason"]) == (shop["1.png"], "resolution")
    kept, copy = second["members"]
    assert (kept["verdict"], copy["verdict"], copy["of"]) == ("keep", "resized", shop["1.png"])
    assert copy["payload"]["width"] == 160 and copy["payload"]["filename"] == "1a.png"
    assert "object_key" not in copy["payload"]
    assert client.get(copy["urls"]["thumbnail"]).status_code == 200
    alone = client.get(f"{GROUPS}/{second['id']}")
    DuplicateGroupOut.model_validate(alone.json())
    assert alone.json() == second


def test_groups_are_counted_filtered_and_paged(client: TestClient, shop: dict[str, str]) -> None:
    about = client.get(f"{SHOP}/duplicates").json()
    DuplicatesOut.model_validate(about)
    assert (about["images"], about["groups"], about["copies"], about["dismissed"]) == (6, 2, 3, 0)
    assert sum(about["kinds"].values()) == 3
    first, second = groups(client)
    assert groups(client, "?limit=1&offset=1") == [second]
    assert groups(client, "?kind=edited") == []
    kinds = {member["verdict"] for member in first["members"][1:]}
    assert first in groups(client, "".join(f"{'&' if n else '?'}kind={kind}" for n, kind in enumerate(kinds)))
    for wrong in ("?kind=alike", "?page=2", "?limit=0"):
        assert client.get(GROUPS + wrong).status_code == 422


def test_merging_moves_copies_into_the_bin_and_comes_back(client: TestClient, shop: dict[str, str]) -> None:
    client.patch(f"{SHOP}/images/{shop['1a.png']}", json={"add_tags": ["sale"]})
    before = groups(client)
    would = decide(client, action="merge", dry_run=True)
    assert (would["deleted"], would["undo"], len(would["groups"])) == (3, None, 2) and groups(
        client
    ) == before
    done = decide(client, action="merge", groups=[before[1]["id"]])
    assert (done["deleted"], done["merged"], done["groups"]) == (1, 1, [before[1]["id"]])
    assert client.get(f"{SHOP}/images/{shop['1a.png']}").status_code == 404
    assert "sale" in client.get(f"{SHOP}/images/{shop['1.png']}").json()["payload"]["tags"]
    assert [group["id"] for group in groups(client)] == [before[0]["id"]]
    undo(client, done)
    assert groups(client) == before
    assert client.get(f"{SHOP}/images/{shop['1.png']}").json()["payload"]["tags"] == ["new"]


def test_another_image_can_be_kept_even_a_smaller_one(client: TestClient, shop: dict[str, str]) -> None:
    before = groups(client)
    group, small = before[1]["id"], shop["1a.png"]
    kept = decide(client, action="keep", groups=[group], keep=small)
    now = client.get(f"{GROUPS}/{group}").json()
    assert (now["keep"], now["chosen"], now["reason"]) == (small, True, None)
    stays = decide(client, action="merge", groups=[group])
    assert (stays["deleted"], stays["richer"], stays["undo"]) == (0, [shop["1.png"]], None)
    undo(client, kept)
    assert groups(client) == before
    done = decide(client, action="merge", groups=[group], keep=small, ids=[shop["1.png"]])
    assert done["deleted"] == 1 and client.get(f"{SHOP}/images/{shop['1.png']}").status_code == 404
    undo(client, done)
    assert groups(client) == before, "one token takes the choice and the deletion back"


def test_what_is_dismissed_is_not_found_again(
    client: TestClient, shop: dict[str, str], runtime: Runtime
) -> None:
    before = groups(client)
    part = decide(client, action="dismiss", groups=[before[0]["id"]], ids=[shop["0b.jpg"]])
    assert part["pairs"] == 2 and len(client.get(f"{GROUPS}/{before[0]['id']}").json()["members"]) == 2
    whole = decide(client, action="dismiss", groups=[group["id"] for group in before])
    assert groups(client) == [] and client.get(f"{SHOP}/duplicates").json()["dismissed"] == 4
    find_duplicates(runtime, "shop", dry_run=True)
    assert find_duplicates(runtime, "shop", dry_run=True).groups == ()
    undo(client, whole)
    undo(client, part)
    assert groups(client) == before


def test_what_makes_no_sense_is_refused_and_changes_nothing(client: TestClient, shop: dict[str, str]) -> None:
    before = groups(client)
    one, other = (group["id"] for group in before)
    wrong: list[dict[str, Any]] = [
        {"action": "keep", "groups": [one]},
        {"action": "keep", "keep": shop["0.png"]},
        {"action": "keep", "groups": [one, other], "keep": shop["0.png"]},
        {"action": "keep", "groups": [one], "keep": shop["2.png"]},
        {"action": "dismiss"},
        {"action": "dismiss", "groups": [one, other], "ids": [shop["0a.jpg"]]},
        {"action": "dismiss", "groups": [one], "ids": [shop["2.png"]]},
        {"action": "dismiss", "groups": [one], "kinds": ["edited"]},
        {"action": "merge", "kinds": ["alike"]},
        {"action": "merge", "ids": [shop["0a.jpg"]]},
        {"action": "merge", "groups": [one], "ids": [shop["0.png"]]},
        {"action": "merge", "groups": [one], "ids": [shop["0a.jpg"]], "keep": shop["0a.jpg"]},
        {"action": "merge", "groups": [one], "ids": [shop["2.png"]], "keep": shop["0a.jpg"]},
        {"action": "merge", "groups": [one], "ids": [shop["0a.jpg"]], "kinds": ["resized"]},
        {"action": "keep", "groups": [one], "keep": shop["0a.jpg"], "ids": [shop["0b.jpg"]]},
        {"action": "merge", "groups": [one], "keep": shop["0.png"], "dry_run": True},
        {"action": "delete", "groups": [one]},
        {},
    ]
    for body in wrong:
        answer = client.post(DECISIONS, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_request"), body
    gone = client.post(DECISIONS, json={"action": "dismiss", "groups": [one, "9-9"]})
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert groups(client) == before


def test_before_a_search_there_is_nothing_to_decide(client: TestClient) -> None:
    for path in (f"{SHOP}/duplicates", GROUPS, f"{GROUPS}/1-1"):
        assert client.get(path).status_code == 404, "there is no such category"
    client.post("/v1/categories", json={"name": "shop"})
    for path in (f"{SHOP}/duplicates", GROUPS):
        answer = client.get(path)
        assert answer.status_code == 404 and "find them first" in answer.json()["detail"]
