from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.indexer.pictures import picture
from tests.training.labelled import labelled
from vitrine.services.domain import Embeddings
from vitrine.training.data.dataset import LabelledImage, Unusable
from vitrine.training.data.duplicates import duplicate_groups
from vitrine.training.data.splits import split_given
from vitrine.training.metric.evaluate import compare
from vitrine.training.metric.report import TrainingReport, summarise, write_report
from vitrine.training.metric.worst_queries import worst_retrievals, worst_sheet
from vitrine.training.reports import draw_curves

HISTORY = [
    {"epoch": epoch, "loss": 1 / epoch, "precision_at_1": epoch / 5, "lr": 0.1} for epoch in range(1, 5)
]


def drawn(seed: int, class_: str) -> LabelledImage:
    return LabelledImage(f"{class_}/{seed}.png", class_, lambda: picture(seed))


def on_circle(*degrees: float) -> Embeddings:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def some_report(**changes: object) -> TrainingReport:
    images = [
        labelled("1", "a", split="train"),
        labelled("2|x", "b", split="train", content="same"),
        labelled("3", "a", split="test", content="same"),
        labelled("4", "b", split="validation"),
    ]
    groups = duplicate_groups(images)
    data = summarise(
        images, split_given(images), groups, [Unusable("5", "empty_file", "The file has no bytes.")]
    )
    points = on_circle(0, 10, 90, 101)
    comparison = compare({"look": (points, None), "trunk": (points[::-1].copy(), None)}, ["a", "a", "b", "b"])
    given = {
        "name": "look",
        "parameters": {"layers": [512, 128], "trunk": Path("m")},
        "data": data,
        "comparison": comparison,
    }
    return TrainingReport(**{**given, **changes})  # type: ignore[arg-type]


# The worst retrievals
# ----------------------------------------------------------------------------------------------------


def test_the_worst_have_the_fewest_right_and_the_surest_errors_first() -> None:
    queries = [drawn(1, "a"), drawn(2, "b"), drawn(3, "a"), drawn(4, "a")]
    gallery = [drawn(5, "a"), drawn(6, "b"), drawn(7, "b")]
    found = worst_retrievals(
        on_circle(40, 80, 80, 1), queries, on_circle(0, 80, 95), gallery, count=3, hits=1
    )
    assert [retrieval.query.key for retrieval in found] == ["a/3.png", "a/1.png", "a/4.png"]
    assert [(image.key, round(similarity, 4)) for image, similarity in found[0].wrong] == [("b/6.png", 1.0)]
    assert (found[0].right, found[0].depth) == (1, 3)


def test_queries_without_an_error_are_not_among_the_worst() -> None:
    images = [drawn(1, "a"), drawn(2, "a"), drawn(3, "a")]
    assert worst_retrievals(on_circle(0, 10, 20), images) == []


def test_the_sheet_has_a_line_for_every_query() -> None:
    images = [drawn(seed, "ab"[seed % 2]) for seed in range(6)]
    images.append(LabelledImage("gone", "b", lambda: Path("/nowhere/x.png").read_bytes()))
    found = worst_retrievals(on_circle(0, 1, 2, 3, 4, 5, 6), images, count=3, hits=2)
    one, three = worst_sheet(found[:1], tile_size=60), worst_sheet(found, tile_size=60)
    assert one.width == three.width and three.height > 2 * one.height


# Curves
# ------------------------------------------------------------------------------------------------------------


def test_curves_have_a_panel_for_losses_metrics_and_rates(tmp_path: Path) -> None:
    sizes = []
    for history in (
        HISTORY,
        [{"epoch": 1, "loss": 0.5}],
        [{"loss": 2.0}, {"loss": float("nan"), "map_at_r": 0.5}],
    ):
        assert draw_curves(history, tmp_path / "c.png", best=1) == tmp_path / "c.png"
        with Image.open(tmp_path / "c.png") as image:
            sizes.append(image.width)
    assert sizes[0] == 3 * sizes[1] and sizes[2] == 2 * sizes[1]


def test_without_history_there_is_no_picture(tmp_path: Path) -> None:
    assert (
        draw_curves([], tmp_path / "c.png") is None
        and draw_curves([{"epoch": 1}], tmp_path / "c.png") is None
    )
    assert not list(tmp_path.iterdir())


# The report
# ------------------------------------------------------------------------------------------------------------


def test_the_data_are_counted_by_class_and_part() -> None:
    data = some_report().data
    assert data.counts == {
        "a": {"train": 1, "validation": 0, "test": 1},
        "b": {"train": 1, "validation": 1, "test": 0},
    }
    assert (data.duplicate_groups, data.duplicate_images, data.straddling, data.left_out) == (1, 2, 1, 0)
    assert data.contradictions == (("2|x (b)", "3 (a)"),) and data.protocol == "given"


def test_a_report_is_json_markdown_and_pictures(tmp_path: Path) -> None:
    images = [drawn(seed, "ab"[seed % 2]) for seed in range(4)]
    worst = worst_retrievals(on_circle(0, 1, 2, 3), images)
    path = write_report(
        tmp_path / "new" / "report", some_report(history=HISTORY, best=3, notes=("Seen.",)), worst
    )
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "curves.png",
        "report.json",
        "report.md",
        "worst.png",
    ]
    tree = json.loads((path.parent / "report.json").read_bytes())
    assert tree["data"]["unusable"] == [
        {"key": "5", "reason": "empty_file", "message": "The file has no bytes."}
    ]
    assert tree["parameters"] == {"layers": [512, 128], "trunk": "m"} and tree["best_epoch"] == 3
    assert tree["comparison"]["rows"][0]["metrics"]["precision_at_1"]["value"] == 1.0
    assert tree["history"] == HISTORY


def test_the_markdown_has_everything_that_a_reader_asks_for(tmp_path: Path) -> None:
    report = some_report(history=HISTORY, notes=("Seen.",))
    text = write_report(tmp_path, report).read_text(encoding="utf-8")
    for line in (
        "# look",
        "| encoder | recall@1 | recall@5 | recall@10 | precision@10 | R-precision | MAP@R | NMI |",
        "| look | 1.000 [1.000, 1.000] |",
        "- look against trunk, on the same queries:",
        "| class | queries | look | trunk |",
        "| a | 1 | 0 | 1 |",
        "| all | 2 | 1 | 1 |",
        f"- Fingerprint: `{report.data.fingerprint}`",
        "  - 2|x (b) = 3 (a)",
        "  - 5: The file has no bytes.",
        "| layers | 512 128 |",
        "![Curves](curves.png)",
        "- Seen.",
    ):
        assert line in text, line
    assert "worst.png" not in text


def test_pictures_of_an_earlier_run_do_not_stay(tmp_path: Path) -> None:
    images = [drawn(seed, "ab"[seed % 2]) for seed in range(4)]
    write_report(tmp_path, some_report(history=HISTORY), worst_retrievals(on_circle(0, 1, 2, 3), images))
    write_report(tmp_path, some_report())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_pipes_in_names_break_no_table(tmp_path: Path) -> None:
    text = write_report(tmp_path, some_report(parameters={"class": "a|b\nc"})).read_text(encoding="utf-8")
    assert "| class | a\\|b c |" in text
