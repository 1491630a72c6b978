"""A process that looks for duplicates is killed at random moments, its engine too: nobody ever sees half of a
run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import numpy as np

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY
from tests.program import start_python
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import FIELD, group_of
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByVector
from vitrine.services.settings import Settings

SCENES = 12
KILLS = 6
CHILD = """
import sys
from pathlib import Path
from vitrine.indexer.job import payload_writer
payload_writer.PAGE = 3  # many small writes
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.services.runtime import open_runtime
from vitrine.services.settings import Settings

def told(write):
    def write_and_tell(*given, **options):
        print(write.__name__, flush=True)
        return write(*given, **options)
    return write_and_tell

if __name__ == "__main__":
    with open_runtime(Settings(data=Path(sys.argv[1]), min_free_mb=0, threads=2, _env_file=None)) as runtime:
        runtime.vectors.count(sys.argv[2])
        print(runtime.vectors.engine_pid, flush=True)
        payload_writes = ("set_payload", "delete_payload", "flush")
        for part, names in ((runtime.objects, ("put", "delete")), (runtime.vectors, payload_writes)):
            for name in names:
                setattr(part, name, told(getattr(part, name)))
        find_duplicates(runtime, sys.argv[2])
        print("end", flush=True)
"""
Groups = list[list[str]]


def settings_on(data: Path) -> Settings:
    return Settings(data=data, min_free_mb=0, _env_file=None)  # type: ignore[call-arg,unused-ignore]


def add(runtime: Runtime, folder: Path, edit: str) -> None:
    folder.mkdir()
    for number in range(SCENES):
        image = scene(number)
        image.resize((100, 75)).save(folder / f"{number}.png") if edit == "half" else image.save(
            folder / f"{number}.{edit}"
        )
    index_images(open_source(str(folder)), runtime, CATEGORY)


def seen(runtime: Runtime) -> Groups:
    """The groups as queries see them; a search that collapses and the run's file agree with them."""
    key = runtime.duplicates.current_key(CATEGORY)
    groups: dict[str, list[str]] = {}
    hits = runtime.vectors.scroll(CATEGORY, limit=1_000).hits
    for hit in hits:
        if group := group_of(hit.payload.get(FIELD), key):
            groups.setdefault(group, []).append(hit.id)
    assert {group.id: sorted(group.ids) for group in runtime.duplicates.get(CATEGORY).groups} == {
        id: sorted(ids) for id, ids in groups.items()
    }
    dim = runtime.catalog.get(CATEGORY).encoder().dim
    found = runtime.searcher.search(CATEGORY, ByVector(np.ones(dim)), SearchOptions(limit=200, collapse=True))
    assert len(found.hits) == len(hits) - sum(len(ids) - 1 for ids in groups.values())
    assert sorted(found.similar.values()) == sorted(len(ids) - 1 for ids in groups.values())
    return sorted(map(sorted, groups.values()))


def start(script: Path, data: Path) -> tuple[subprocess.Popen[str], int]:
    child = start_python(script, data, CATEGORY)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def test_killed_processes_leave_the_run_before_or_the_new_one(tmp_path: Path) -> None:
    script, data, chance = tmp_path / "child.py", tmp_path / "data", random.Random(9)
    script.write_text(CHILD)
    with open_runtime(settings_on(data)) as runtime:
        runtime.catalog.create(CATEGORY, [runtime.encoders.register(ColourEncoder()).spec])
        add(runtime, tmp_path / "png", "png")
        add(runtime, tmp_path / "bmp", "bmp")
        find_duplicates(runtime, CATEGORY)
        before = seen(runtime)
        add(runtime, tmp_path / "half", "half")  # so the next run finds larger groups
        expected = find_duplicates(runtime, CATEGORY, dry_run=True)
        new = sorted(sorted(group.ids) for group in expected.groups)
    assert len(before) == len(new) == SCENES and before != new
    moments, states = [0, *(chance.randrange(1, 40) for _ in range(KILLS - 1))], []
    for number, moment in enumerate(moments):
        child, engine = start(script, data)
        assert child.stdout is not None
        for _ in range(moment):  # killed at so many writes: no clock decides
            child.stdout.readline()
        if number % 2:
            os.kill(engine, signal.SIGKILL)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        with open_runtime(settings_on(data)) as runtime:
            states.append(seen(runtime))
    assert all(state in (before, new) for state in states) and states[0] == before
    child, _ = start(script, data)
    assert child.communicate(timeout=120)[0].splitlines()[-1] == "end"
    with open_runtime(settings_on(data)) as runtime:
        assert seen(runtime) == new
        values = {hit.payload.get(FIELD) for hit in runtime.vectors.scroll(CATEGORY, limit=1_000).hits}
        assert values == {group.id for group in runtime.duplicates.get(CATEGORY).groups}
        assert len(list(runtime.objects.list(f"_duplicates/{CATEGORY}/"))) == 2
