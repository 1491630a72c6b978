"""Measure how well near-duplicates are found: clothing photos, seeded edits of some of them, and UKBench's
pictures.

Two images are duplicates if they are one photo or edits of it. Photos are halved by their name: thresholds
were chosen on the train half, figures are of the test half. ``--catalogue N`` draws and indexes N pictures of
the demo (an hour for 100,000), looks for copies among them and compares with what the drawings are.
``--synthetic N`` times the search among N random hashes and vectors, without pictures.

    python -m benchmarks.copies.duplicates --folder bench-data --catalogue 100000 --json duplicates.json
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import time
from collections.abc import Collection, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from benchmarks.copies.photo_edits import EDITS, LAID, make_edited
from benchmarks.datasets import dataset, mobilenet
from vitrine.data.catalogue import draw_catalogue
from vitrine.indexer.enrich.duplicates.candidates import Images, candidates, near_in_memory
from vitrine.indexer.enrich.duplicates.detector import read_images
from vitrine.indexer.enrich.duplicates.find import find_duplicates
from vitrine.indexer.enrich.duplicates.options import DuplicateOptions, Reach
from vitrine.indexer.enrich.duplicates.report import DuplicateReport
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.progress import make_progress
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.artifacts.duplicates import COPIES
from vitrine.services.category.read_all import read_all
from vitrine.services.images.hashes import close_pairs
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

CATEGORY = "bench"
PHASH_BITS = 10
"""imagededup's default for its PHash method: 64-bit phash, Hamming distance at most 10. Its rule, on
ImageHash's hashes; its CNN method needs torchvision and is not compared."""
Pairs = set[tuple[str, str]]


def photo_of(filename: str) -> str:
    """Return the photo that an image is an edit of: the name before ``__``, or UKBench's number."""
    name = Path(filename).stem
    if name == "alpha_channel_image":  # it shows the same as that one
        return "ukbench00120"
    return name[:12] if name.startswith("ukbench") else name.split("__")[0]


def edit_of(filename: str) -> str:
    return Path(filename).stem.rpartition("__")[2] if "__" in filename else ""


def half_of(filename: str) -> str:
    return "train" if crc32(photo_of(filename).encode()) % 2 else "test"


def judge(found: Pairs, names: Collection[str], edits: Collection[str]) -> dict[str, Any]:
    """Return precision and recall over all pairs among ``names``, and by edit, of the pairs that have one
    such image (recall: with its original)."""
    copies: dict[str, list[str]] = {}
    for name in names:
        copies.setdefault(photo_of(name), []).append(name)
    true = {pair for group in copies.values() for pair in combinations(sorted(group), 2)}
    inside = {pair for pair in found if pair[0] in names and pair[1] in names}
    rows = {"overall": _figures(inside, true)}
    for edit in edits:
        having = {pair for pair in inside if edit in map(edit_of, pair)}
        to_original = {pair for pair in true if {edit, "original"} == {*map(edit_of, pair)}}
        rows[edit] = {
            "precision": _share(len(having & true), len(having)),
            "recall": _share(len(to_original & found), len(to_original)),
        }
    wrong = sorted(inside - true)
    return {"rows": rows, "wrong": wrong[:20]}


def _figures(found: Pairs, true: Pairs) -> dict[str, float]:
    right = len(found & true)
    precision, recall = _share(right, len(found)), _share(right, len(true))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": round(f1, 4),
        "pairs": len(true),
        "wrong": len(found) - right,
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 1.0


def pairs_found(report: DuplicateReport, names: Mapping[str, str]) -> Pairs:
    every = [sorted(names[id] for id in group.ids) for group in report.groups]
    return {pair for group in every for pair in combinations(group, 2)}


def pairs_deletable(report: DuplicateReport, names: Mapping[str, str]) -> Pairs:
    """Return what deleting takes by default, with the image that it is a copy of."""
    copies = [
        (group.original_of(m), m.id) for group in report.groups for m in group.members if m.kind in COPIES
    ]
    return {(min(pair), max(pair)) for pair in ((names[one], names[other]) for one, other in copies)}


def prepare(runtime: Runtime, given: argparse.Namespace) -> None:
    """Index the category, once: it is kept in the folder for the next time."""
    if any(category.name == CATEGORY for category in runtime.catalog.list()):
        return
    runtime.catalog.create(CATEGORY, [runtime.encoders.get(runtime.settings.encoder).spec])
    photos = random.Random(4).sample(sorted((dataset("clothing") / "train").rglob("*.jpg")), given.photos)
    make_edited(photos, given.edited, given.folder / "photos")
    for folder in (given.folder / "photos", dataset("near-duplicates")):
        options = SourceOptions(max_bytes=runtime.limits.max_bytes)
        index_images(
            open_source(str(folder), options=options, objects=runtime.objects),
            runtime,
            CATEGORY,
            progress=make_progress(),
        )


def measure(runtime: Runtime, *, flips: bool) -> dict[str, Any]:
    using = runtime.catalog.get(CATEGORY).encoder().name
    images, _ = read_images(runtime, CATEGORY, using)
    hits = [
        hit
        for start in range(0, len(images), 500)
        for hit in runtime.vectors.retrieve(CATEGORY, images.ids[start : start + 500])
    ]
    names = {hit.id: str(hit.payload["filename"]) for hit in hits if hit is not None}
    started = time.process_time()
    report = find_duplicates(
        runtime, CATEGORY, DuplicateOptions(flips=flips), dry_run=True, progress=make_progress()
    )
    spent = time.process_time() - started
    rule = {
        tuple(sorted((names[images.ids[one]], names[images.ids[other]])))
        for _, one, other in close_pairs(images.hashes, PHASH_BITS).tolist()
    }
    result: dict[str, Any] = {"search": report.to_json() | {"processor_seconds": round(spent, 1)}}
    edits = [edit for edit in EDITS if edit not in LAID]
    ours, deletable = pairs_found(report, names), pairs_deletable(report, names)
    for half in ("train", "test"):
        clothes = {
            name for name in names.values() if half_of(name) == half and "ukbench" not in photo_of(name)
        }
        plain = {name for name in clothes if edit_of(name) not in LAID}
        result[half] = {
            "vitrine": judge(ours, plain, edits),
            f"phash <= {PHASH_BITS}": judge(rule, plain, edits),
        }
        result[half]["vitrine, deletable"] = judge(deletable, plain, edits)
        if flips:
            result[half]["vitrine"] = judge(ours, clothes, [*edits, *LAID])
    ukbench = {name for name in names.values() if "ukbench" in photo_of(name)}
    result["ukbench"] = {
        "vitrine, deletable": judge(deletable, ukbench, ()),
        "vitrine": judge(ours, ukbench, ()),
        f"phash <= {PHASH_BITS}": judge(rule, ukbench, ()),
    }
    across = [pair for pair in ours if ("ukbench" in photo_of(pair[0])) != ("ukbench" in photo_of(pair[1]))]
    result["ukbench"]["merged with others"] = across
    return result


def catalogue(given: argparse.Namespace) -> dict[str, Any]:
    """Search among drawings, and count which of their near-duplicates are found."""
    pictures = given.folder / "catalogue"
    with (draw_catalogue(pictures, count=given.catalogue, size=128).manifest).open(newline="") as file:
        original = {
            Path(row["path"]).name: Path(row["duplicate_of"] or row["path"]).name
            for row in csv.DictReader(file)
        }
    settings = _settings(given.folder / "catalogue-data")
    with open_runtime(settings, command="duplicates benchmark") as runtime:
        if not runtime.catalog.list():
            runtime.catalog.create(CATEGORY, [runtime.encoders.get(settings.encoder).spec])
        source = open_source(
            str(pictures), options=SourceOptions(max_bytes=runtime.limits.max_bytes), objects=runtime.objects
        )
        index_images(source, runtime, CATEGORY, progress=make_progress())
        started = time.process_time()
        report = find_duplicates(runtime, CATEGORY, dry_run=True, progress=make_progress())
        spent = time.process_time() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        names: dict[str, str] = {}
        for batch in read_all(
            runtime.vectors, CATEGORY, runtime.catalog.get(CATEGORY).encoder().name, fields=("filename",)
        ):
            names |= {
                id: Path(str(payload["filename"])).name
                for id, payload in zip(batch.ids, batch.payloads, strict=True)
            }
    copies: dict[str, list[str]] = {}
    for name in names.values():
        copies.setdefault(original[name], []).append(name)
    true = {pair for group in copies.values() for pair in combinations(sorted(group), 2)}
    found = pairs_found(report, names)
    return {
        "search": report.to_json() | {"processor_seconds": round(spent, 1), "peak_mb": memory},
        "pairs": _figures(found, true), "wrong": sorted(found - true)[:20],
    }  # fmt: skip


def _settings(data: Path) -> Settings:
    encoder = f"mobilenet={mobilenet()}"
    return Settings(_env_file=None, data=data, encoder=encoder, offline=True, min_free_mb=0, threads=2)  # type: ignore[call-arg,unused-ignore]


def synthetic(count: int, dim: int = 512) -> dict[str, Any]:
    """Return the seconds for candidates among random unit vectors and hashes, a tenth of them near
    another."""
    rng = np.random.default_rng(4)
    rows = rng.standard_normal((count, dim), dtype=np.float32)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    copies = count // 10
    rows[:copies] = rows[-copies:] + 0.3 * rng.standard_normal((copies, dim), dtype=np.float32)
    hashes[:copies] = hashes[-copies:] ^ (np.uint64(1) << rng.integers(0, 64, copies, dtype=np.uint64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    images = Images(tuple(map(str, range(count))), hashes, rows)
    started = time.perf_counter()
    near = near_in_memory(rows, Reach())
    middle = time.perf_counter()
    found = candidates(images, near, Reach())
    seconds = time.perf_counter() - started
    planted = {(place, count - copies + place) for place in range(copies)}
    both = planted & set(zip(found.one.tolist(), found.other.tolist(), strict=True))
    return {
        "images": count, "dim": dim, "seconds": round(seconds, 1), "neighbours_s": round(middle - started, 1),
        "pairs": len(found), "planted": copies, "planted_found": len(both),
    }  # fmt: skip


def show(result: dict[str, Any]) -> None:
    for way in ("plain", "flips"):
        figures = result.get(way, {})
        print(way, figures.get("search", {}).get("seconds"))
        _show_tables(figures)
    for name in ("catalogue", "synthetic"):
        if name in result:
            print(name, json.dumps(result[name]))


def _show_tables(result: dict[str, Any]) -> None:
    for half in ("train", "test", "ukbench"):
        for name, table in result.get(half, {}).items():
            if not isinstance(table, dict):
                print(f"{half}: {name}: {table}")
                continue
            print(f"{half}: {name}")
            for row, figures in table["rows"].items():
                print(f"  {row:12}" + "".join(f"{key} {value:<9}" for key, value in figures.items()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where pictures and vectors lie; kept for the next time")
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--edited", type=int, default=500)
    parser.add_argument("--catalogue", type=int, default=0, metavar="N")
    parser.add_argument("--synthetic", type=int, default=0, metavar="N")
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    result: dict[str, Any] = {}
    if given.folder:
        with open_runtime(_settings(given.folder / "data"), command="duplicates benchmark") as runtime:
            prepare(runtime, given)
            result = {"plain": measure(runtime, flips=False), "flips": measure(runtime, flips=True)}
    if given.folder and given.catalogue:
        result["catalogue"] = catalogue(given)
    if given.synthetic:
        result["synthetic"] = synthetic(given.synthetic)
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
