"""A process that indexes is killed at random moments; the next run completes the work."""

from __future__ import annotations

import random
import signal
import subprocess
from pathlib import Path

from tests.indexer.pictures import CATEGORY, picture, write
from tests.program import start_python
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

IMAGES = 120
KILLS = 4
CHILD = """
import signal
import sys
from pathlib import Path
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.errors import NotFound
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source

def tell(outcome):
    print(outcome.outcome, outcome.id, flush=True)

if __name__ == "__main__":
    # a shell's background jobs are started with Ctrl-C ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open_runtime(Settings(data=Path(sys.argv[1]), min_free_mb=0, _env_file=None)) as runtime:
        spec = runtime.encoders.register(ColourEncoder()).spec
        try:
            runtime.catalog.get(sys.argv[3])
        except NotFound:
            runtime.catalog.create(sys.argv[3], [spec])
        report = index_images(open_source(sys.argv[2]), runtime, sys.argv[3], batch_size=4, on_outcome=tell)
    sys.exit(report.exit_code)
"""


def start(script: Path, data: Path, source: Path) -> subprocess.Popen[str]:
    return start_python(script, data, source, CATEGORY)


def test_kills_lose_nothing_and_leave_nothing_behind(tmp_path: Path) -> None:
    source = write(tmp_path / "pictures", {f"{seed}.png": picture(seed) for seed in range(IMAGES)})
    script, data = tmp_path / "child.py", tmp_path / "data"
    script.write_text(CHILD)
    chance = random.Random(4)
    acknowledged: set[str] = set()
    for _ in range(KILLS):
        child = start(script, data, source)
        assert child.stdout is not None
        for _ in range(chance.randrange(1, 30)):  # killed after so many acknowledgements: no clock decides
            line = child.stdout.readline().split()
            acknowledged |= {line[1]} if line else set()
        child.send_signal(signal.SIGKILL)
        acknowledged |= {line.split()[1] for line in child.stdout if line.endswith("\n")}
        child.wait()
    last = start(script, data, source)
    lines = [line.split() for line in last.communicate(timeout=120)[0].splitlines()]
    assert last.returncode == 0
    assert {id for outcome, id in lines if outcome == "added"}.isdisjoint(acknowledged)
    check(data, {point_id(content_hash(picture(seed))) for seed in range(IMAGES)})


def check(data: Path, expected: set[str]) -> None:
    with open_runtime(Settings(data=data, min_free_mb=0, _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        hits = runtime.vectors.scroll(CATEGORY, limit=1000, with_vectors=("colour",)).hits
        assert {hit.id for hit in hits} == expected
        assert len(hits) == IMAGES
        assert all("colour" in hit.vectors for hit in hits)
        keys = {stat.key for stat in runtime.objects.list(f"{CATEGORY}/")}
        assert keys == {hit.payload["object_key"] for hit in hits}
        for hit in hits:
            assert content_hash(runtime.objects.get(hit.payload["object_key"])) == hit.payload["sha256"]
        assert runtime.catalog.get(CATEGORY).images == IMAGES


def test_an_interrupted_process_ends_with_130(tmp_path: Path) -> None:
    source = write(tmp_path / "pictures", {f"{seed}.png": picture(seed) for seed in range(400)})
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    child = start(script, tmp_path / "data", source)
    assert child.stdout is not None
    first = child.stdout.readline().split()
    child.send_signal(signal.SIGINT)
    lines = [first, *(line.split() for line in child.stdout)]
    assert child.wait() == 130
    with open_runtime(Settings(data=tmp_path / "data", min_free_mb=0, _env_file=None)) as runtime:  # type: ignore[call-arg,unused-ignore]
        assert runtime.vectors.count(CATEGORY) == len(lines) < 400
