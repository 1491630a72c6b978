"""A process that scores is killed at random moments, its engine too: no image has a score that nobody
explains."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

from tests.indexer.enrich.scores.heads import assert_explained, fill, head, stored
from tests.indexer.pictures import CATEGORY
from tests.program import start_python
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.services.category.fields import QUALITY
from vitrine.services.category.filters import parse_conditions
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

IMAGES = 240
TAGS = ("cat", "red mug", "dog", QUALITY)
KILLS = 5
BATCH = 8
CHILD = """
import sys
from pathlib import Path
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

class Teller:
    def start(self, stage, total): ...
    def update(self, report):
        print(report.done, flush=True)
    def finish(self, report): ...

if __name__ == "__main__":
    with open_runtime(Settings(data=Path(sys.argv[1]), min_free_mb=0, _env_file=None)) as runtime:
        print(runtime.vectors.count(sys.argv[2]), runtime.vectors.engine_pid, flush=True)
        report = score_images(runtime, sys.argv[2], propose=True, batch=int(sys.argv[3]), progress=Teller())
        print("end", report.written, report.skipped, flush=True)
"""


def start(script: Path, data: Path) -> tuple[subprocess.Popen[str], int]:
    """The child, and the process id of its engine."""
    child = start_python(script, data, CATEGORY, BATCH)
    assert child.stdout is not None
    images, engine = child.stdout.readline().split()
    assert int(images) == IMAGES
    return child, int(engine)


def runtime_on(data: Path) -> Settings:
    return Settings(data=data, min_free_mb=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]


def prepare(runtime: Runtime) -> list[str]:
    """A category that was scored by taggers which have been trained again since; their signatures."""
    runtime.catalog.create(CATEGORY, [runtime.encoders.register(ColourEncoder()).spec])
    fill(runtime, IMAGES, {n: {"tags": [f"t{n}"], "caption": f"picture {n}"} for n in range(IMAGES)})
    runtime.taggers.save(CATEGORY, [head(runtime, tag, seed) for seed, tag in enumerate(TAGS)])
    score_images(runtime, CATEGORY, propose=True)
    saved = runtime.taggers.save(CATEGORY, [head(runtime, tag, seed) for seed, tag in enumerate(TAGS, 10)])
    return [its.signature for its in saved]


def check(runtime: Runtime, new: list[str]) -> int:
    """Every score is by the tagger that it names, nothing else has changed, and queries see the new ones
    alone. How many."""
    heads = [its for tag in TAGS for its in runtime.taggers.history(CATEGORY, tag)]
    assert assert_explained(runtime, heads) == IMAGES * len(TAGS)
    images = stored(runtime)
    for n in range(IMAGES):
        payload, _ = images[f"{n}.png"]
        assert payload["tags"] == [f"t{n}"] and payload["caption"] == f"picture {n}"
        assert len(set(payload["scored_by"].values())) == 1  # all by the old ones, or all by the new ones
    done = [payload for payload, _ in images.values() if payload["scored_by"]["cat"] in new]
    for tag in ("cat", "red mug"):
        assert runtime.searcher.count(CATEGORY, parse_conditions({"scores": {tag: {"gte": 0}}})) == len(done)
        high = parse_conditions({"scores": {tag: {"gte": 0.5}}})
        assert runtime.searcher.count(CATEGORY, high) == sum(
            payload["scores"][tag] >= 0.5 for payload in done
        )
        assert all(
            (tag in payload.get("machine_tags", ())) == (payload["scores"][tag] >= 0.5) for payload in done
        )
    assert runtime.searcher.count(CATEGORY, parse_conditions({"quality": {"gte": 0}})) == len(done)
    return len(done)


def test_kills_leave_no_score_that_nobody_explains(tmp_path: Path) -> None:
    script, data, chance = tmp_path / "child.py", tmp_path / "data", random.Random(8)
    script.write_text(CHILD)
    with open_runtime(runtime_on(data)) as runtime:
        new = prepare(runtime)
        assert check(runtime, new) == 0
    before = 0
    for number in range(KILLS):
        child, engine = start(script, data)
        assert child.stdout is not None
        for _ in range(chance.randrange(0, 6)):  # killed after so many pages: no clock decides
            child.stdout.readline()
        if number % 2:
            os.kill(engine, signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        assert "end" not in child.communicate()[0]
        with open_runtime(runtime_on(data)) as runtime:
            assert runtime.taggers.unsettled(CATEGORY)
            done = check(runtime, new)
        assert before <= done < IMAGES
        before = done
    child, _ = start(script, data)
    last = child.communicate(timeout=120)[0].splitlines()[-1].split()
    assert last == ["end", str(IMAGES - before), str(before)]
    with open_runtime(runtime_on(data)) as runtime:
        assert check(runtime, new) == IMAGES and not runtime.taggers.unsettled(CATEGORY)
