"""A process that promotes is killed at random moments; the next run completes the work, and the alias is
never half."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.indexer.enrich.vectors.trained import trained_folder, trained_runtime
from tests.indexer.pictures import CATEGORY, picture
from tests.program import start_python
from vitrine.indexer.enrich.vectors.promote import promote
from vitrine.indexer.enrich.vectors.reembed import lacks
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.category.catalog import Category
from vitrine.services.encoders.resolve import folder_revision
from vitrine.services.runtime import Runtime
from vitrine.services.vector_store.edge.store import EdgeVectorStore

IMAGES = 100
KILLS = 3
CHILD = """
import sys
from pathlib import Path
from vitrine.indexer.enrich.vectors import reembed
from vitrine.indexer.job import stored_images
from vitrine.indexer.enrich.vectors.promote import promote
from vitrine.indexer.enrich.vectors.reembed import lacks
from vitrine.services.vector_store.edge.store import EdgeVectorStore
from tests.indexer.pictures import CATEGORY
from tests.indexer.enrich.vectors.trained import TrainedColours, trained_runtime

def tell(*words):
    print(*words, flush=True)

class Telling:
    def start(self, stage, total):
        tell("lacking", total)
    def update(self, report):
        tell("filled", report.done)
    def finish(self, report):
        pass

if __name__ == "__main__":
    stored_images.SLICE = reembed.BATCH_SIZE = 4
    data, folder = Path(sys.argv[1]), Path(sys.argv[2])
    vectors = EdgeVectorStore(data / "vectors", min_free_mb=0, command="kills")
    runtime = trained_runtime(data, vectors)
    category = runtime.catalog.get(CATEGORY)
    tell("in-service", category.encoder("look").name)
    tell("lacking-in-service", vectors.count(CATEGORY, lacks(category.encoder("look").name)))
    report = promote(runtime, CATEGORY, folder, name="look", progress=Telling())
    tell("encoded", TrainedColours.encoded)
    tell("switched", int(report.switched))
    runtime.encoders.close()
    vectors.close()
"""


def start(script: Path, data: Path, folder: Path) -> subprocess.Popen[str]:
    return start_python(script, data, folder)


def opened(data: Path) -> tuple[Runtime, EdgeVectorStore]:
    vectors = EdgeVectorStore(data / "vectors", min_free_mb=0, command="test")
    return trained_runtime(data, vectors), vectors


def state(data: Path) -> tuple[Category, dict[str, int]]:
    """The category, and how many images lack each of its vectors."""
    runtime, vectors = opened(data)
    category = runtime.catalog.get(CATEGORY)
    lacking = {spec.name: vectors.count(CATEGORY, lacks(spec.name)) for spec in category.encoders}
    runtime.encoders.close()
    vectors.close()
    return category, lacking


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A category that answers ``look`` from look-1."""
    runtime, vectors = opened(tmp_path / "data")
    records = [ImageRecord("test", f"{seed}.png", lambda seed=seed: picture(seed)) for seed in range(IMAGES)]  # type: ignore[misc]
    assert index_images(records, runtime, CATEGORY).error is None
    assert promote(runtime, CATEGORY, trained_folder(tmp_path / "one", 1), name="look").switched
    runtime.encoders.close()
    vectors.close()
    return tmp_path / "data"


def told(lines: Iterable[str]) -> dict[str, str]:
    """The last value of each word; a line that the kill cut is none."""
    return {word: value for word, value in (line.split() for line in lines if line.endswith("\n"))}


def test_kills_encode_nothing_twice_and_never_show_half_a_vector(data: Path, tmp_path: Path) -> None:
    script, folder = tmp_path / "child.py", trained_folder(tmp_path / "two", 2)
    script.write_text(CHILD)
    chance = random.Random(8)
    at_most = IMAGES
    for _ in range(KILLS):
        child = start(script, data, folder)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(chance.randrange(4, 9))]  # no clock decides
        child.send_signal(signal.SIGKILL)
        life = told([*lines, *child.stdout])
        child.wait()
        assert (life["in-service"], life["lacking-in-service"]) == ("look-1", "0")
        assert int(life["lacking"]) <= at_most  # what was acknowledged is not asked for again
        at_most = int(life["lacking"]) - int(life["filled"])
        assert "switched" not in life
    last = start(script, data, folder)
    life = told(last.communicate(timeout=120)[0].splitlines(keepends=True))
    assert last.returncode == 0
    assert (life["in-service"], life["lacking-in-service"], life["switched"]) == ("look-1", "0", "1")
    assert int(life["lacking"]) == int(life["filled"]) == int(life["encoded"]) <= at_most < IMAGES
    category, lacking = state(data)
    assert category.promoted == {"look": ("look-2", "look-1")}
    assert lacking == {"colour": 0, "look-1": 0, "look-2": 0}


def test_two_programs_promote_at_once(data: Path, tmp_path: Path) -> None:
    """Both are served, each by a vector of its own: the one that came last answers, the other is the way
    back."""
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    folders = [trained_folder(tmp_path / name, seed) for name, seed in (("two", 2), ("three", 3))]
    both = [start(script, data, folder) for folder in folders]
    lives = [told(child.communicate(timeout=120)[0].splitlines(keepends=True)) for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert [life["switched"] for life in lives] == ["1", "1"]
    category, lacking = state(data)
    assert category.promoted["look"] in (("look-2", "look-3", "look-1"), ("look-3", "look-2", "look-1"))
    assert lacking == {"colour": 0, "look-1": 0, "look-2": 0, "look-3": 0}
    revisions = {category.encoder(f"look-{number}").revision for number in (2, 3)}
    assert revisions == {folder_revision(folder) for folder in folders}


def test_two_programs_promote_the_same_at_once(data: Path, tmp_path: Path) -> None:
    script, folder = tmp_path / "child.py", trained_folder(tmp_path / "two", 2)
    script.write_text(CHILD)
    both = [start(script, data, folder) for _ in range(2)]
    lives = [told(child.communicate(timeout=120)[0].splitlines(keepends=True)) for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert [life["switched"] for life in lives] == ["1", "1"]
    category, lacking = state(data)
    assert category.promoted == {"look": ("look-2", "look-1")}
    assert lacking == {"colour": 0, "look-1": 0, "look-2": 0}
