from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run


def hits(run: Run, *arguments: object) -> list[dict[str, Any]]:
    answer = run("search", "-c", "shop", *arguments, "--json")
    assert answer.code == 0, answer.out + answer.err
    found: list[dict[str, Any]] = answer.json["hits"]
    return found


def classes(found: list[dict[str, Any]]) -> set[str]:
    return {hit["payload"]["class"] for hit in found}


def test_by_picture_and_by_text_the_right_colour_is_first(filled: Run, pictures: Path) -> None:
    by_image = filled("search", "-c", "shop", "--image", pictures / "red" / "24.png", "-n", 4, "--json").json
    assert by_image.keys() == filled("search", "-c", "shop", "--json").json.keys()
    assert by_image.keys() == {"category", "kind", "hits", "encoder", "cursor", "timing"}
    assert (by_image["kind"], by_image["encoder"]["name"]) == ("image", "colour")
    assert by_image["timing"].keys() == {"encode_ms", "search_ms"}
    assert by_image["hits"][0].keys() == {"id", "similarity", "payload"}
    assert classes(by_image["hits"]) == {"red"}
    assert classes(hits(filled, "--text", "blue", "-n", 4)) == {"blue"}


def test_by_id_leaves_the_image_itself_out(filled: Run) -> None:
    first = hits(filled, "--class", "green", "-n", 1)[0]
    found = hits(filled, "--id", first["id"], "-n", 3)
    assert classes(found) == {"green"} and first["id"] not in [hit["id"] for hit in found]


def test_the_same_picture_is_first_and_is_found_by_a_least_similarity_of_1(
    filled: Run, pictures: Path
) -> None:
    for file in sorted(pictures.rglob("*.png")):
        (best, *_) = found = hits(filled, "--image", file, "--min-similarity", 1)
        assert best["payload"]["filename"].endswith(f"{file.parent.name}/{file.name}"), file
        assert all(hit["similarity"] == 1 for hit in found)


@pytest.mark.parametrize("more", [(), ("--diversity", 0.4), ("--collapse",)])
def test_pages_are_slices_of_one_answer(filled: Run, more: tuple[object, ...]) -> None:
    whole = [hit["id"] for hit in hits(filled, "--text", "blue", "-n", 12, *more)]
    assert len(set(whole)) == 12
    for size in (1, 5):
        pages = [
            hits(filled, "--text", "blue", "-n", size, "--offset", at, *more) for at in range(0, 12, size)
        ]
        assert [hit["id"] for page in pages for hit in page] == whole


def test_by_vector_from_json_and_npy(filled: Run, tmp_path: Path) -> None:
    vector = np.random.default_rng(3).normal(size=64).astype(np.float32)
    (tmp_path / "v.json").write_text(json.dumps(vector.tolist()))
    np.save(tmp_path / "v.npy", vector[None])
    assert hits(filled, "--vector", tmp_path / "v.json") == hits(filled, "--vector", tmp_path / "v.npy")
    for name, content in (
        ("bad.json", '{"a": 1}'),
        ("bad.npy", "x"),
        ("nan.json", "[NaN]"),
        ("words.json", '["a"]'),
    ):
        (tmp_path / name).write_text(content)
        assert filled("search", "-c", "shop", "--vector", tmp_path / name, "--json").json["error"][
            "code"
        ] in (
            "bad_request",
            "bad_vector",
        )


def test_by_examples_given_as_ids_and_files(filled: Run, pictures: Path) -> None:
    red = hits(filled, "--class", "red", "-n", 1)[0]["id"]
    found = hits(
        filled,
        "--like",
        red,
        "--like",
        pictures / "red" / "48.png",
        "--unlike",
        pictures / "blue" / "24.png",
        "-n",
        3,
    )
    assert classes(found) == {"red"}


def test_a_text_is_one_example_more(filled: Run, pictures: Path) -> None:
    red, blue = pictures / "red" / "48.png", pictures / "blue" / "24.png"
    assert classes(hits(filled, "--text", "red", "--like", red, "--unlike", blue, "-n", 3)) == {"red"}
    assert classes(hits(filled, "--text", "red", "--unlike", blue, "-n", 1)) == {"red"}


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--tag", "small"], 12),
        (["--tag", "small", "--tag", "red"], 4),
        (["--any-tag", "red", "--any-tag", "blue"], 8),
        (["--not-tag", "red"], 8),
        (["--class", "red", "--class", "green"], 8),
        (["--score", "striped=0.1..0.2"], 6),
        (["--score", "striped=0.2.."], 6),
        (["--score", "striped=..0.05"], 3),
        (["--quality", "0.9..1"], 3),
        (["--where", "metadata.year.gte=2003"], 3),
        (["--where", "metadata.year=2000", "--where", "tag=red"], 1),
        (["--where", "width.lte=24", "--class", "blue"], 1),
    ],
)
def test_filters(filled: Run, filters: list[str], count: int) -> None:
    assert len(hits(filled, *filters, "-n", 100)) == count


def test_similarity_diversity_offset_and_limit(filled: Run, pictures: Path) -> None:
    query = ("--image", pictures / "red" / "24.png")
    assert all(hit["similarity"] >= 0.95 for hit in hits(filled, *query, "--min-similarity", 0.95))
    assert len(classes(hits(filled, *query, "-n", 4, "--diversity", 0.9))) > 1
    everything = [hit["id"] for hit in hits(filled, *query, "-n", 12)]
    assert [hit["id"] for hit in hits(filled, *query, "-n", 2, "--offset", 3)] == everything[3:5]


def test_listings_go_on_by_cursor_in_order(filled: Run) -> None:
    seen: list[dict[str, Any]] = []
    cursor: list[str] = []
    while True:
        page = filled("search", "-c", "shop", "--order-by", "quality:desc", "-n", 5, *cursor, "--json").json
        seen += page["hits"]
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    qualities = [hit["payload"]["quality"] for hit in seen]
    assert len(seen) == len({hit["id"] for hit in seen}) == 12
    assert qualities == sorted(qualities, reverse=True)
    assert len(hits(filled, "--random", "-n", 5)) == 5


def test_plain_output_is_a_table_on_stdout_and_notes_on_stderr(filled: Run) -> None:
    answer = filled("search", "-c", "shop", "--text", "red", "-n", 2)
    assert [line.split("\t")[0] for line in answer.out.splitlines()] == ["#", "1", "2"]
    assert "2 hits by colour" in answer.err
    ordered = filled("search", "-c", "shop", "--order-by", "quality", "-n", 1)
    assert "\tquality\t" in ordered.out and "--cursor" in ordered.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--text", "x", "--id", "y"],
        ["--unlike", "x"],
        ["--id", "x", "--unlike", "y"],
        ["--text", "x", "--like", "y", "--image", "z"],
        ["--text", "x", "--order-by", "quality"],
        ["--random", "--order-by", "quality"],
        ["--offset", "3"],
        ["--limit", "0"],
        ["--text", "x", "--min-similarity", "2"],
        ["--text", "x", "--using", "a", "--using", "b"],
        ["--nonsense"],
    ],
)
def test_wrong_usage_is_exit_2(filled: Run, arguments: list[str]) -> None:
    assert filled("search", "-c", "shop", *arguments).code == 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--id", "5b1f4a43-94e7-5d5c-8f4e-0a8f6f3c2b11"], "not_found"),
        (["--id", "x"], "not_found"),
        (["--text", " "], "bad_request"),
        (["--text", "x", "--using", "clip"], "unknown_vector"),
        (["--image", "no-such-file.png"], "bad_request"),
        (["--like", "neither"], "bad_request"),
        (["--score", "striped"], "bad_request"),
        (["--score", "striped=.."], "bad_request"),
        (["--quality", "good"], "bad_request"),
        (["--where", "nonsense=1"], "bad_request"),
        (["--where", "nonsense"], "bad_request"),
        (["--where", "metadata.nothing=1"], "unknown_field"),
        (["--order-by", "caption"], "unknown_field"),
        (["--order-by", "quality:up"], "bad_request"),
        (["--text", "x", "--to", "sheet.gif"], "bad_request"),
    ],
)
def test_questions_without_an_answer_are_told(filled: Run, arguments: list[str], code: str) -> None:
    answer = filled("search", "-c", "shop", *arguments, "--json")
    assert answer.code == 1
    assert answer.json["error"]["code"] == code


def test_a_file_that_is_no_picture_is_refused(filled: Run, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("hello")
    answer = filled("search", "-c", "shop", "--image", tmp_path / "note.png", "--json")
    assert answer.json["error"]["details"]["reason"] == "unsupported_format"


@pytest.mark.parametrize("kind", ["image", "id", "like", "text", "listing"])
def test_sheets_show_the_query_first_and_then_the_hits(
    filled: Run, pictures: Path, tmp_path: Path, kind: str
) -> None:
    picture = pictures / "red" / "24.png"
    query: list[object] = {
        "image": ["--image", picture],
        "id": ["--id", hits(filled, "--class", "red", "-n", 1)[0]["id"]],
        "like": ["--like", picture],
        "text": ["--text", "red"],
        "listing": ["--order-by", "quality"],
    }[kind]
    path = tmp_path / "sheets" / "sheet.png"
    answer = filled("search", "-c", "shop", *query, "-n", 3, "--to", path, "--json").json
    assert answer["sheet"] == str(path)
    tiles = len(answer["hits"]) + (kind in ("image", "id", "like"))
    with Image.open(path) as sheet:
        assert sheet.width == 2 * 28 + tiles * 220 + (tiles - 1) * 20


def test_ranges_of_several_scores_sorted_and_counted(vitrine: Run, pictures: Path, tmp_path: Path) -> None:
    rows = [
        f"red/{size}.png,{a},{b}"
        for size, a, b in ((24, 0.9, 0.1), (32, 0.8, 0.7), (40, 0.6, 0.9), (48, 0.2, 0.8))
    ]
    (tmp_path / "scores.csv").write_text("\n".join(["path,scores.plain,scores.deep red", *rows]))
    assert (
        vitrine("index", "add", tmp_path / "scores.csv", "-c", "mine", "--create", "--root", pictures).code
        == 0
    )
    ranges = ("--score", "plain=0.5..", "--score", "deep red=0.5..1")
    listed = vitrine("search", "-c", "mine", *ranges, "--order-by", 'scores."deep red":desc', "--json").json[
        "hits"
    ]
    assert [hit["payload"]["filename"] for hit in listed] == ["red/40.png", "red/32.png"]
    bins = vitrine(
        "images",
        "histogram",
        "scores.plain",
        "-c",
        "mine",
        "--score",
        "deep red=0.5..",
        "--bins",
        2,
        "--json",
    ).json
    assert [bin["count"] for bin in bins["bins"]] == [1, 2]
