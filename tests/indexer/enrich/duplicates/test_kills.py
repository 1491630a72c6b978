"""A search for duplicates is killed between any two of its writes: no half of a run is ever seen, and the
next one completes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.enrich.duplicates.scenes import scene
from tests.indexer.pictures import CATEGORY, make_runtime
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.open import open_source
from vitrine.services.artifacts.duplicates import FIELD, group_of
from vitrine.services.runtime import Runtime

WRITES = (
    ("objects", "put"),
    ("objects", "replace"),
    ("objects", "delete"),
    ("vectors", "set_payload"),
    ("vectors", "delete_payload"),
)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def seen(runtime: Runtime) -> tuple[str | None, list[list[str]]]:
    """The run in service, and its groups as queries see them."""
    key = runtime.duplicates.current_key(CATEGORY)
    groups: dict[str, list[str]] = {}
    for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits:
        if group := group_of(hit.payload.get(FIELD), key):
            groups.setdefault(group, []).append(hit.id)
    return key, sorted(map(sorted, groups.values()))


def kill_at(
    runtime: Runtime, number: int, patch: pytest.MonkeyPatch, more: tuple[tuple[str, str], ...] = ()
) -> None:
    """The write of that number from now on never happens."""
    left = [number]
    for part, name in (*WRITES, *more):
        store = getattr(runtime, part)
        write = getattr(store, name)

        def counted(*given: object, _write: object = write, **options: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return _write(*given, **options)  # type: ignore[operator]

        patch.setattr(store, name, counted)


def test_kills_between_all_writes(tmp_path: Path) -> None:
    runtime, folder = make_runtime(tmp_path / "data"), tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        scene(number).save(folder / f"{number}.png")
        scene(number).save(folder / f"{number}.jpg", quality=80)
    index_images(open_source(str(folder)), runtime, CATEGORY)
    find_duplicates(runtime, CATEGORY)
    _, whole = seen(runtime)
    assert len(whole) == 3
    kills, ended = 0, False
    while not ended:
        with pytest.MonkeyPatch.context() as patch:
            kill_at(runtime, kills, patch)
            try:
                find_duplicates(runtime, CATEGORY)
                ended = True
            except Killed:
                kills += 1
        assert seen(runtime)[1] == whole
        assert len(runtime.duplicates.get(CATEGORY).groups) == 3
    assert kills >= 4
    values = {hit.payload[FIELD] for hit in runtime.vectors.scroll(CATEGORY, limit=100).hits}
    assert values == {group.id for group in runtime.duplicates.get(CATEGORY).groups}
    left = [stat.key for stat in runtime.objects.list(f"_duplicates/{CATEGORY}/")]
    assert len(left) == 2
    runtime.encoders.close()
