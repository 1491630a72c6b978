"""``vitrine tagger score`` and ``purge-stale``, as commands on their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Answer, Fill, Kept, runner
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.domain import Point
from vitrine.services.images.open import point_id
from vitrine.services.runtime import Runtime
from vitrine.services.settings import Settings

NAME = "scored"
IMAGES = 12


def run(data: Path, *arguments: object, input: str | None = None) -> Answer:
    return runner(data)("tagger", *arguments, input=input)


@pytest.fixture
def data(filled_by: Callable[[Fill], Path]) -> Path:
    """A category with vectors and a tagger, on the engine."""
    return filled_by(fill)


def fill(runtime: Runtime) -> None:
    spec = runtime.encoders.get("colour").spec
    runtime.catalog.create(NAME, [spec])
    rows = np.random.default_rng(1).normal(size=(IMAGES, spec.dim))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    stale = {"scores": {"gone": 0.5}, "scored_by": {"gone": "lr@2020"}}
    points = [
        Point(
            point_id(f"{n:064x}"),
            {spec.name: rows[n]},
            {"media_type": "image/png", **(stale if n < 3 else {})},
        )
        for n in range(IMAGES)
    ]
    runtime.vectors.upsert(NAME, points)
    heads = [
        TagHead(tag, "lr", spec.name, spec.revision, rows[n] * 9, 0.0) for n, tag in enumerate(("cat", "dog"))
    ]
    runtime.taggers.save(NAME, heads)


def test_scores_are_written_once_and_told_as_json(data: Path) -> None:
    first = run(data, "score", "-c", NAME, "--json")
    assert first.code == 0 and not first.err  # a line of progress comes after two seconds at the earliest
    assert {key: first.json[key] for key in ("tags", "images", "written", "skipped", "status")} == {
        "tags": ["cat", "dog"], "images": IMAGES, "written": IMAGES, "skipped": 0, "status": "complete",
    }  # fmt: skip
    again = run(data, "score", "-c", NAME)
    assert again.code == 0 and f"0 written, {IMAGES} as they were" in again.out


def test_one_tag_with_proposals(data: Path, kept: Kept) -> None:
    assert run(data, "score", "-c", NAME, "--tag", "cat", "--threshold", "0").code == 0
    with kept.open_runtime(Settings(data=data, _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        hits = runtime.vectors.scroll(NAME, limit=100).hits
    assert all(hit.payload["machine_tags"] == ["cat"] and "dog" not in hit.payload["scores"] for hit in hits)


def test_stale_scores_are_purged(data: Path) -> None:
    assert json.loads(run(data, "purge-stale", "-c", NAME, "--json").out)["changed"] == 3
    assert "from 0 images" in run(data, "purge-stale", "-c", NAME).out


def test_errors_say_what_to_do(data: Path) -> None:
    unknown = run(data, "score", "-c", NAME, "--tag", "sun")
    assert unknown.code == 1 and "cat, dog" in unknown.err
    assert run(data, "score", "-c", "nothing").code == 1
    assert run(data, "score", "-c", NAME, "--threshold", "2").code == 2


def test_an_interrupted_run_ends_with_130(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrine.indexer.job.payload_writer import PayloadWriter

    monkeypatch.setattr(PayloadWriter, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    stopped = run(data, "score", "-c", NAME)
    assert stopped.code == 130 and "run again" in stopped.out
    monkeypatch.undo()
