"""Damage a store in one of some forty ways, at random places, and see whether `vitrine check` finds it,
whether any other category notices, and whether a repair brings everything back.

    python benchmarks/durability/faults.py --faults 300 --seed 1

A fault counts as *found* (a finding of its category), *harmless* (none, and every answer is as before), or
*silent* (none, and an answer differs). Every fault is then repaired, or its category built again; that is
*verified* where every answer is as before, and nothing is wrong any more. Faults of which the rest does not
tell how it was (a picture that is gone) are *told*. Healthy stores are checked in between.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.indexer.check import look
from vitrine.indexer.check.rebuild import rebuild_category
from vitrine.indexer.check.run import check_categories
from vitrine.indexer.enrich.scores.scoring import score_images
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.artifacts.maps import CategoryMap
from vitrine.services.artifacts.taggers import TagHead
from vitrine.services.category.editor import ImageChanges
from vitrine.services.domain import Near, Payload, Query
from vitrine.services.errors import VitrineError
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

NAMES = ("first", "second", "third")
VICTIM = "second"
Pick = random.Random


def settings(data: Path) -> Settings:
    return Settings(data=data, encoder="colour", offline=True, min_free_mb=64, _env_file=None)  # type: ignore[call-arg]


def make(data: Path, images: int) -> None:
    """Fill three categories, with tags, classes, edits, deleted images, a tagger, a map, pairs that are no
    duplicates and a saved search."""
    import io

    from PIL import Image

    pick, files = random.Random(7), []
    for number in range(images):
        picture = Image.new("RGB", (40, 32), tuple(pick.randrange(256) for _ in range(3)))
        picture.paste(tuple(pick.randrange(256) for _ in range(3)), (0, 0, pick.randrange(5, 40), 16))
        file = io.BytesIO()
        picture.save(file, "PNG")
        files.append((f"{number:03d}.png", file.getvalue()))
    with open_runtime(settings(data)) as runtime:
        for name in NAMES:
            runtime.create_category(name)
            records = [
                ImageRecord(
                    "files", file, lambda data=data: data, tags=(f"t{number % 5}",), metadata={"n": number}
                )
                for number, (file, data) in enumerate(files)
            ]
            index_images(records, runtime, name, batch_size=16)
            ids = [hit.id for hit in runtime.vectors.scroll(name, limit=1_000).hits]
            for id in ids[:8]:
                runtime.editor.change(name, [id], ImageChanges(add_tags=("edited",), class_="c"))
            runtime.editor.delete(name, ids[-2:])
            made = runtime.maps.save(name, CategoryMap("look", "pca", "colour", "colour-1-64", 3))
            runtime.maps.put_in_service(name, made.key)
            spec = runtime.catalog.get(name).encoder()
            weight = np.random.default_rng(5).normal(size=spec.dim).astype(np.float32)
            runtime.taggers.save(name, [TagHead("red", "by-hand", spec.name, spec.revision, weight, 0.25)])
            score_images(runtime, name)
            runtime.duplicates.dismiss(name, [(ids[0], ids[1]), (ids[2], ids[3])])
            runtime.saved.put(name, "warm", {"text": "red", "limit": 5})


def answers(runtime: Runtime, name: str) -> Any:
    """Return what a category answers: all images, searches, facets, pictures, what is in service."""
    hits = runtime.vectors.scroll(name, limit=10_000, with_vectors=("colour",)).hits
    images = sorted((hit.id, json.dumps(_told(hit.payload), sort_keys=True)) for hit in hits)
    pick = np.random.default_rng(3)
    found = []
    for _ in range(5):
        vector = np.abs(pick.normal(size=64)).astype(np.float32)
        vector /= np.linalg.norm(vector)
        nearest = runtime.vectors.query(name, Query(Near(vector), using="colour", limit=10, exact=True))
        found.append([(hit.id, round(hit.similarity or 0, 3)) for hit in nearest])
    facet = [(each.value, each.count) for each in runtime.vectors.facet(name, "tags")]
    pictures = {hit.id: runtime.objects.get(hit.payload["object_key"]) for hit in hits}
    maps = [each.key for each in runtime.maps.in_service(name)]
    bin_ids = sorted(each.hit.id for each in runtime.editor.bin.images(name).images)
    taggers = [(head.tag, head.weight.tolist(), head.bias) for head in runtime.taggers.in_service(name)]
    sayings = sorted(runtime.duplicates.dismissed(name)), runtime.saved.all(name)
    count = runtime.catalog.get(name).images
    return images, found, facet, pictures, maps, bin_ids, taggers, sayings, count


def _told(payload: Payload) -> Payload:
    """Return what an image says; its scores as far as a vector that was computed again gives the same."""
    scores = {tag: round(score, 3) for tag, score in payload.get("scores", {}).items()}
    return {name: value for name, value in payload.items() if name != "indexed_at"} | {"scores": scores}


# The faults
# ------------------------------------------------------------------------------------------------------------


def _collection(data: Path) -> Path:
    return data / "vectors/collections" / VICTIM


def _objects(data: Path, pattern: str) -> list[Path]:
    return sorted(path for path in (data / "objects").glob(pattern) if path.is_file())


def _segment_files(data: Path, *, all_of_it: bool = True) -> list[Path]:
    files = sorted(path for path in _collection(data).glob("gen-*/segments/**/*") if path.is_file())
    return [path for path in files if path.stat().st_size]


def _forget_log(data: Path) -> None:
    for wal in _collection(data).glob("gen-*/wal"):
        shutil.rmtree(wal)


def garble(file: Path, pick: Pick) -> None:
    data = bytearray(file.read_bytes())
    for at in range(0, min(len(data), 1 << 16), 5):
        data[at] = pick.randrange(256)
    file.write_bytes(data)


def flip(file: Path, pick: Pick) -> None:
    data = bytearray(file.read_bytes())
    data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
    file.write_bytes(data)


def cut(file: Path, pick: Pick) -> None:
    file.write_bytes(file.read_bytes()[: pick.randrange(max(1, file.stat().st_size))])


def empty(file: Path, pick: Pick) -> None:
    file.write_bytes(b"")


def zeros(file: Path, pick: Pick) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def gone(file: Path, pick: Pick) -> None:
    file.unlink()


Harm = Callable[[Path, Pick], None]


def on(pattern: str, *harms: Harm) -> Callable[[Path, Pick], None]:
    """Harm one of the objects of a pattern."""

    def apply(data: Path, pick: Pick) -> None:
        pick.choice(harms)(pick.choice(_objects(data, pattern)), pick)

    return apply


def beside(file: str, *harms: Harm) -> Callable[[Path, Pick], None]:
    """Harm a file around the shard."""
    return lambda data, pick: pick.choice(harms)(_collection(data) / file, pick)


def within(pattern: str, *harms: Harm, log: bool) -> Callable[[Path, Pick], None]:
    """Harm the files of a pattern within the shard, which has its ``log`` or has lost it."""

    def apply(data: Path, pick: Pick) -> None:
        if not log:
            _forget_log(data)
        files = [path for path in _segment_files(data) if path.match(pattern)]
        pick.choice(harms)(pick.choice(files), pick)

    return apply


def lose_payloads(data: Path, pick: Pick) -> None:
    _forget_log(data)
    for file in _segment_files(data):
        if file.match("payload_storage/tracker*.dat"):
            zeros(file, pick)


def write(file: str, content: bytes) -> Callable[[Path, Pick], None]:
    return lambda data, pick: (_collection(data) / file).write_bytes(content) and None


def lose_points(data: Path, pick: Pick) -> None:
    with open_runtime(settings(data)) as runtime:
        ids = [hit.id for hit in runtime.vectors.scroll(VICTIM, limit=1_000).hits]
        runtime.vectors.delete(VICTIM, pick.sample(ids, 3))


def miscount(data: Path, pick: Pick) -> None:
    with open_runtime(settings(data)) as runtime:
        runtime.catalog.set_images(VICTIM, pick.randrange(1_000, 2_000))


MANIFEST, POINTS = f"_categories/{VICTIM}.json", "points.json"
FAULTS: dict[str, Callable[[Path, Pick], None]] = {
    "schema harmed": beside("collection.json", empty, garble, cut, zeros),
    "schema: a bit": beside("collection.json", flip),
    "schema gone": beside("collection.json", gone),
    "schema of other types": write(
        "collection.json", b'{"name": "second", "vectors": [[1, "x"]], "indexes": [2]}'
    ),
    "pointer harmed": beside("current", empty, garble, zeros, flip),
    "pointer gone": beside("current", gone),
    "shard gone": lambda data, pick: (
        [shutil.rmtree(path) for path in _collection(data).glob("gen-*")] and None
    ),
    "count note harmed": beside(POINTS, empty, garble),
    "count note: a bit": beside(POINTS, flip),
    "count note too high": write(POINTS, b"100000"),
    "closing note harmed": beside("closed.json", empty, garble, flip),
    "log garbled": lambda data, pick: garble(
        pick.choice(sorted(_collection(data).glob("gen-*/wal/open-*"))), pick
    ),
    "log gone": lambda data, pick: _forget_log(data),
    "shard config harmed": lambda data, pick: garble(
        next(_collection(data).glob("gen-*/edge_config.json")), pick
    ),
    "any shard file garbled": within("*", garble, zeros, log=True),
    "any shard file cut": within("*", cut, empty, log=True),
    "any shard file gone": within("*", gone, log=True),
    "any shard file garbled, no log": within("*", garble, zeros, log=False),
    "any shard file cut, no log": within("*", cut, empty, log=False),
    "any shard file gone, no log": within("*", gone, log=False),
    "payloads lost": lose_payloads,
    "payloads garbled": within("payload_storage/page_*.dat", zeros, garble, log=False),
    "vectors garbled": within("vectors/chunk_*.mmap", garble, zeros, log=False),
    "points lost": lose_points,
    "manifest harmed": on(MANIFEST, empty, garble, cut, zeros),
    "manifest: a bit": on(MANIFEST, flip),
    "manifest gone": on(MANIFEST, gone),
    "manifest miscounts": miscount,
    "picture gone": on(f"{VICTIM}/images/**/*.png", gone),
    "picture harmed": on(f"{VICTIM}/images/**/*.png", flip, cut, empty, garble),
    "map pointer harmed": on(f"_maps/{VICTIM}/current.json", empty, garble, cut, flip),
    "map harmed": on(f"_maps/{VICTIM}/look-1/manifest.json", empty, garble, gone, flip),
    "tagger: a bit": on(f"_taggers/{VICTIM}/**/*", flip),
    "dismissed pairs harmed": on(f"_duplicates/{VICTIM}/dismissed.json", empty, cut, flip),
    "saved searches harmed": on(f"_saved/{VICTIM}/*", empty, cut, flip),
    "journal harmed": on(f"_journal/{VICTIM}/**/*", flip, cut, empty, garble),
    "journal segment gone": on(f"_journal/{VICTIM}/**/*", gone),
    "bin harmed": on(f"_bin/{VICTIM}/*", flip, cut, empty, garble),
    "format note harmed": lambda data, pick: pick.choice((empty, flip))(data / "vitrine.json", pick),
}


@dataclass
class Outcome:
    """What became of one fault."""

    kind: str
    verdict: str
    codes: list[str]
    after: str
    others: bool
    seconds: float


def one(base: Path, healthy: dict[str, Any], kind: str, seed: int, folder: Path) -> Outcome:
    """Bring about one fault in a copy of the store, check, repair, and compare."""
    data, started = folder / "data", time.perf_counter()
    shutil.rmtree(data, ignore_errors=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(base), str(data)], check=True)
    FAULTS[kind](data, random.Random(f"{kind}/{seed}"))
    with open_runtime(settings(data)) as runtime:
        others = all(_same(runtime, name, healthy) for name in NAMES if name != VICTIM)
        report = check_categories(runtime, deep=True)
        codes = sorted({each.code for each in report.findings if each.category in (VICTIM, "")})
        others = others and all(each.category in (VICTIM, "") for each in report.findings)
        verdict = "found" if codes else "harmless" if _same(runtime, VICTIM, healthy) else "silent"
        after = "as before"
        if codes:
            after = _repaired(runtime, healthy)
        others = others and all(_same(runtime, name, healthy) for name in NAMES if name != VICTIM)
    return Outcome(kind, verdict, codes, after, others, time.perf_counter() - started)


def _repaired(runtime: Runtime, healthy: dict[str, Any]) -> str:
    report = check_categories(runtime, [VICTIM], deep=True, mend=True)
    if any(each.code in ("collection_damaged", "collection_missing") for each in report.wrong):
        rebuild_category(runtime, VICTIM)
        report = check_categories(runtime, [VICTIM], deep=True, mend=True)
    if report.wrong:
        return "told"
    return "verified" if _same(runtime, VICTIM, healthy) else "differs"


def _same(runtime: Runtime, name: str, healthy: dict[str, Any]) -> bool:
    with suppress(VitrineError):
        return bool(answers(runtime, name) == healthy[name])
    return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--kind", action="append", choices=sorted(FAULTS), help="only these kinds")
    arguments = parser.parse_args()
    kinds = arguments.kind or list(FAULTS)
    look.SETTLED_SECONDS = 0.0  # type: ignore[misc]  # nobody else writes
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "base", arguments.images)
        with open_runtime(settings(folder / "base")) as runtime:
            healthy = {name: answers(runtime, name) for name in NAMES}
            alarms = len(check_categories(runtime, deep=True).findings)
        for number in range(arguments.faults):
            kind = kinds[number % len(kinds)]
            outcome = one(folder / "base", healthy, kind, arguments.seed * 1_000 + number, folder)
            outcomes.append(outcome)
            print(
                f"{number + 1:>4} {kind:<32} {outcome.verdict:<9} {outcome.after:<10} "
                f"{'' if outcome.others else 'OTHERS '}{','.join(outcome.codes)} {outcome.seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    print(
        json.dumps(
            {
                "faults": len(outcomes),
                "kinds": len({each.kind for each in outcomes}),
                "verdicts": Counter(each.verdict for each in outcomes),
                "after": Counter(each.after for each in outcomes),
                "touched_others": sum(not each.others for each in outcomes),
                "false_alarms_on_healthy": alarms,
                "silent": sorted({each.kind for each in outcomes if each.verdict == "silent"}),
                "differs": sorted({each.kind for each in outcomes if each.after == "differs"}),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
