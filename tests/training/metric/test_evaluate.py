from __future__ import annotations

import json

import numpy as np
import pytest

from vitrine.services.domain import Embeddings
from vitrine.services.encoders.retrieval_metrics import METRICS, bootstrap_difference, retrieval_metrics
from vitrine.training.metric.evaluate import LABELS, compare

CLASSES = ["a"] * 20 + ["b"] * 20


def scattered(spread: float, dim: int = 8) -> Embeddings:
    """Two classes about two directions; the larger the spread, the more they mix."""
    random = np.random.default_rng(1)
    rows = np.repeat(np.eye(2, dim), 20, axis=0) + spread * random.normal(size=(40, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_rows_are_the_metrics_of_each_encoder_with_intervals() -> None:
    good, bad = scattered(0.1), scattered(1.0, dim=5)
    found = compare({"good": (good, None), "bad": (bad, None)}, CLASSES)
    expected = retrieval_metrics(bad, CLASSES)
    assert [row.name for row in found.rows] == ["good", "bad"] and set(LABELS) == set(METRICS)
    for name in LABELS:
        interval = found.rows[1].metrics[name]
        assert interval.value == getattr(expected, name) and interval.low <= interval.value <= interval.high
    assert found.rows[1].nmi == expected.nmi and found.rows[0].nmi == 1.0
    assert found.queries == {"a": 20, "b": 20} and found.gallery is None


def test_the_gain_of_the_first_is_paired() -> None:
    good, bad = scattered(0.1), scattered(1.0)
    found = compare({"good": (good, None), "bad": (bad, None)}, CLASSES, nmi=False, seed=3)
    one, other = (
        retrieval_metrics(points, CLASSES, nmi=False).per_query["map_at_r"] for points in (good, bad)
    )
    assert found.rows[0].gain is None and found.rows[1].gain is not None
    assert found.rows[1].gain["map_at_r"] == bootstrap_difference(one, other, 3)
    assert found.rows[1].gain["map_at_r"].low > 0


def test_classes_are_judged_each() -> None:
    queries, gallery = scattered(0.1), scattered(0.1)[:20]
    found = compare({"one": (queries, gallery)}, CLASSES, ["a"] * 20, nmi=False)
    assert found.rows[0].recall_at_1 == {"a": 1.0, "b": 0.0} and found.gallery == 20


def test_the_text_says_what_was_asked_and_what_may_be_chance() -> None:
    points = scattered(1.0)
    text = compare(
        {"tuned": (points, None), "trunk": (points, None), "far": (scattered(9.0), None)}, CLASSES
    ).text()
    lines = text.splitlines()
    assert lines[0].split() == ["encoder", *LABELS.values(), "NMI"]
    assert lines[1].startswith("tuned  ") and len({line.index("0.") for line in lines[1:4]}) == 1
    assert "40 queries of 2 classes among the other queries" in text and "95%" in text
    assert (
        "tuned against trunk, on the same queries: recall@1 +0.000 [+0.000, +0.000], which may be chance"
        in text
    )
    assert "chance" not in lines[-1].split("MAP@R")[1]


def test_the_tree_is_json_even_where_nothing_counts() -> None:
    alone = compare({"x": (scattered(1.0)[:2], None), "y": (scattered(1.0)[:2], None)}, ["a", "b"], nmi=False)
    tree = json.loads(json.dumps(alone.tree(), allow_nan=False))
    assert tree["rows"][0]["metrics"]["map_at_r"] == {"value": None, "low": None, "high": None}
    assert tree["rows"][1]["gain_of_first"]["precision_at_1"]["value"] == 0.0
    assert "| -" not in alone.text() and "  -  " in alone.text()


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ValueError, match="no encoder"):
        compare({}, CLASSES)
