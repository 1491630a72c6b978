from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run, runner


def test_a_category_is_made_listed_shown_and_deleted(vitrine: Run) -> None:
    made = vitrine("category", "create", "pets", "-d", "Cats", "--json").json
    assert (made["name"], made["description"], made["images"]) == ("pets", "Cats", 0)
    assert [spec["name"] for spec in made["encoders"]] == ["colour"]
    listed = vitrine("category", "list", "--json").json["categories"]
    assert [tree["name"] for tree in listed] == ["pets"]
    assert vitrine("category", "show", "pets", "--json").json == listed[0]
    assert vitrine("category", "delete", "pets", "--yes", "--json").json == {"category": "pets", "deleted": 0}
    assert vitrine("category", "list", "--json").json == {"categories": [], "others": []}


def test_a_category_may_have_several_encoders(vitrine: Run) -> None:
    made = vitrine("category", "create", "pets", "-e", "colour", "-e", "second=vitrine/colour", "--json").json
    assert [spec["name"] for spec in made["encoders"]] == ["colour", "second"]
    added = vitrine("category", "add-encoder", "pets", "third=vitrine/colour", "--json").json
    assert [spec["name"] for spec in added["encoders"]] == ["colour", "second", "third"]
    assert vitrine("category", "add-encoder", "pets", "third=vitrine/colour").code == 0


def test_quantised_copies_are_chosen_changed_and_measured(filled: Run) -> None:
    made = filled("category", "create", "large", "--quantization", "turbo4", "--json").json
    assert made["quantization"] == "turbo4"
    said = filled("category", "quantize", "large")
    assert (said.code, "turbo4" in said.out) == (0, True)
    changed = filled("category", "quantize", "shop", "int8", "--json")
    assert changed.json["quantization"] == "int8"
    assert changed.json["index"]["recall"] == 1.0  # so few are compared one by one
    assert filled("category", "show", "shop", "--json").json["quantization"] == "int8"
    assert filled("category", "quantize", "shop", "none", "--json").json["quantization"] is None
    assert filled("category", "quantize", "shop", "int3").code == 2
    assert "not_found" in filled("category", "quantize", "nowhere", "int8").err
    assert filled("category", "delete", "large", "--yes").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "Pets"], "bad_request"),
        (["create", "pets", "-e", "no/such-model"], "model_unavailable"),
        (["show", "pets"], "not_found"),
        (["delete", "pets", "--yes"], "not_found"),
        (["add-encoder", "pets", "colour"], "not_found"),
    ],
)
def test_what_cannot_be_done_is_told(vitrine: Run, arguments: list[str], code: str) -> None:
    answer = vitrine("category", *arguments, "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == code


def test_the_same_name_twice_is_refused(vitrine: Run) -> None:
    assert vitrine("category", "create", "pets").code == 0
    assert "already_exists" in vitrine("category", "create", "pets").err


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_deleting_asks_and_no_answer_is_no(vitrine: Run, answer: str) -> None:
    vitrine("category", "create", "pets")
    asked = vitrine("category", "delete", "pets", input=answer)
    assert asked.code == 1
    assert "Delete category 'pets'" in asked.err and "othing was deleted" in asked.err.replace("so n", "N")
    assert vitrine("category", "show", "pets").code == 0


def test_deleting_goes_on_after_yes(vitrine: Run) -> None:
    vitrine("category", "create", "pets")
    assert vitrine("category", "delete", "pets", input="y\n").code == 0
    assert vitrine("category", "show", "pets").code == 1


def test_lists_are_tab_separated_where_nobody_watches(filled: Run) -> None:
    heading, line = vitrine_lines(filled)
    assert heading == ["category", "images", "encoders", "created", "description"]
    assert line[:3] == ["shop", "12", "colour"]


def vitrine_lines(run: Run) -> list[list[str]]:
    return [line.split("\t") for line in run("category", "list").out.splitlines()]


def test_show_names_encoders_and_fields(filled: Run) -> None:
    text = filled("category", "show", "shop").out
    assert "encoder colour:" in text and "scores.striped (float)" in text


def test_the_way_back_from_damage_is_said_and_works(pictures: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    run = runner(data)
    assert run("index", "add", pictures, "-c", "shop", "--create", "--tags-from-folders", 1).code == 0
    tagged = tags(run)
    for shard in (data / "vectors" / "collections" / "shop").glob("gen-*"):
        shutil.rmtree(shard)
    listed = run("category", "list", "--json")
    ((other),) = listed.json["others"]
    assert (listed.code, other["name"], other["state"]) == (0, "shop", "damaged")
    doctor = run("doctor")
    assert doctor.code == 1 and "shop (damaged)" in doctor.out
    (command,) = re.findall("`vitrine ([^`]+)`", other["message"])
    done = run(*command.split(), "--yes")
    assert done.code == 0, (command, done.err)
    assert run("category", "list", "--json").json["others"] == []
    assert tags(run) == tagged and all(tagged.values())


def tags(run: Run) -> dict[str, list[str]]:
    """Of every image of ``shop``, by id."""
    return {
        hit["id"]: hit["payload"]["tags"]
        for hit in run("images", "list", "-c", "shop", "--json").json["hits"]
    }
