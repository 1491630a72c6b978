"""A process that syncs is killed, with its engine or alone; the next sync completes the work."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.indexer.ingest.test_sync import old
from tests.indexer.killed import program
from tests.indexer.pictures import CATEGORY, id_of, picture, write
from vitrine.services.category.catalog import Catalog
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.vector_store.edge.store import EdgeVectorStore

CODE = f"""
from pathlib import Path
import orjson
from vitrine.indexer.ingest.sync.sync import sync_folder
import vitrine.indexer.ingest.sync.sync as module
from vitrine.services.encoders.families.fake import ColourEncoder
from vitrine.services.encoders.pool import EncoderPool
from vitrine.services.errors import NotFound
from vitrine.services.object_store.local import LocalObjectStore
from vitrine.services.runtime import assemble
from vitrine.services.settings import Settings
from vitrine.services.vector_store.edge.store import EdgeVectorStore

module.SAVE_SECONDS, module.SAVE_SHARE = 0.0, 1e9  # remembers after every picture

class Telling(LocalObjectStore):
    tells = False
    def put(self, *arguments, **named):
        super().put(*arguments, **named)
        if Telling.tells:
            print("put", flush=True)

def work(data, folder):
    settings = Settings(data=Path(data), min_free_mb=0, threads=2, offline=True, _env_file=None)
    vectors = EdgeVectorStore(Path(data) / "vectors", min_free_mb=0)
    pool = EncoderPool(settings)
    spec = pool.register(ColourEncoder()).spec
    runtime = assemble(settings, vectors, Telling(Path(data) / "objects", min_free_mb=0), pool)
    try:
        runtime.catalog.get("{CATEGORY}")
    except NotFound:
        runtime.catalog.create("{CATEGORY}", [spec])
    vectors.scroll("{CATEGORY}", limit=1)
    print(vectors.engine_pid, flush=True)
    Telling.tells = True
    report = sync_folder(runtime, "{CATEGORY}", Path(folder), batch_size=4)
    pool.close()
    vectors.close()
    print(orjson.dumps(report.to_json()).decode(), flush=True)

serve(work)
"""
BEFORE, AFTER = range(0, 24), range(8, 32)
MOVED = range(8, 16)


def test_a_killed_sync_is_completed_by_the_next(tmp_path: Path) -> None:
    folder = old(write(tmp_path / "set", {f"{seed}.png": picture(seed) for seed in BEFORE}))
    data = tmp_path / "data"
    with program(tmp_path, CODE) as syncing:
        syncing.finish(data, folder)
        for seed in BEFORE:
            if seed not in AFTER:
                (folder / f"{seed}.png").unlink()
        (folder / "deep").mkdir()
        for seed in MOVED:
            (folder / f"{seed}.png").rename(folder / "deep" / f"{seed}.png")
        old(write(folder, {f"{seed}.png": picture(seed) for seed in AFTER if seed not in BEFORE}))
        for after, engine in ((5, True), (14, False), (24, True)):
            syncing.kill(data, folder, after=after, engine=engine)
        report = orjson.loads(syncing.finish(data, folder))
        assert report["status"] == "complete", report
    check(data)


def check(data: Path) -> None:
    vectors = EdgeVectorStore(data / "vectors", min_free_mb=0)
    try:
        hits = vectors.scroll(CATEGORY, limit=1000).hits
        names = {hit.id: hit.payload["filename"] for hit in hits}
        assert names == {id_of(seed): f"{'deep/' * (seed in MOVED)}{seed}.png" for seed in AFTER}
        objects = LocalObjectStore(data / "objects", min_free_mb=0)
        assert Catalog(objects, vectors).get(CATEGORY).images == len(AFTER)
    finally:
        vectors.close()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QDRANT_URL", "MINIO_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
