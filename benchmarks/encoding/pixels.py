"""Measure groups by pixels against known copies: clothing photos, and seeded edits of some of them.

Photos are halved by their name. ``--choose`` prints precision and recall of each measure over thresholds on
the train half, where the default thresholds were chosen; the figures written are of the test half, which
shares no image with it. Then batches and merging are compared with the plain leader algorithm over everything
at once.

    python -m benchmarks.encoding.pixels --folder bench-pixels --json benchmarks/results/pixels.json
"""

from __future__ import annotations

import argparse
import json
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.copies.duplicates import Pairs, edit_of, half_of, judge
from benchmarks.copies.photo_edits import EDITS, make_edited
from benchmarks.datasets import dataset, mobilenet
from vitrine.indexer.enrich.clusters.options import PixelOptions
from vitrine.indexer.enrich.clusters.pixels.measures import (
    DEFAULT_THRESHOLDS,
    MEASURES,
    decode_target,
    measure,
)
from vitrine.indexer.enrich.clusters.pixels.report import PixelReport
from vitrine.indexer.enrich.clusters.pixels.run import cluster_pixels
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.job.progress import make_progress
from vitrine.indexer.sources.open import open_source
from vitrine.indexer.sources.options import SourceOptions
from vitrine.services.artifacts.clusters import NOISE
from vitrine.services.images.open import open_image
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.settings import Settings

NEAR_EDITS = [edit for edit in EDITS if edit not in ("flip", "crop", "border")]
"""Edits that leave each thing where it was: what whole-picture measures are for."""
SMALL = 500


def prepare(runtime: Runtime, given: argparse.Namespace) -> None:
    """Index three categories, once: each half, and a smaller part of the test half."""
    if any(category.name == "small" for category in runtime.catalog.list()):
        return
    photos = random.Random(5).sample(sorted((dataset("clothing") / "train").rglob("*.jpg")), given.photos)
    make_edited(photos, given.edited, given.folder / "photos")
    names = sorted((given.folder / "photos").iterdir())
    test = [path for path in names if half_of(path.name) == "test"]
    parts = {
        "train": [path for path in names if half_of(path.name) == "train"],
        "test": test,
        "small": test[:SMALL],
    }
    for category, paths in parts.items():
        runtime.catalog.create(category, [runtime.encoders.get(runtime.settings.encoder).spec])
        folder = given.folder / category
        folder.mkdir(exist_ok=True)
        for path in paths:
            (folder / path.name).write_bytes(path.read_bytes())
        options = SourceOptions(max_bytes=runtime.limits.max_bytes)
        source = open_source(str(folder), options=options, objects=runtime.objects)
        index_images(source, runtime, category, progress=make_progress())


def choose(folder: Path, runtime: Runtime) -> dict[str, Any]:
    """Return by measure the precision and recall of all pairs of the train half over thresholds.

    ``recall_near``: without crops, borders and flips.
    """
    paths = sorted(folder.iterdir())
    rng = np.random.default_rng(6)
    stems = [path.name.split("__")[0] for path in paths]
    near = np.array([edit_of(path.name) in ("original", *NEAR_EDITS) for path in paths])
    groups: dict[str, list[int]] = {}
    for place, stem in enumerate(stems):
        groups.setdefault(stem, []).append(place)
    true = [pair for group in groups.values() for pair in combinations(group, 2)]
    other = [tuple(rng.choice(len(paths), 2, replace=False).tolist()) for _ in range(40_000)]
    other = [(a, b) for a, b in other if stems[a] != stems[b]]
    every = len(paths) * (len(paths) - 1) / 2
    table: dict[str, Any] = {}
    for name in MEASURES:
        chosen = measure(name)
        target = decode_target(chosen.scale)
        values = [
            chosen.prepare(open_image(path.read_bytes(), target=target, limits=runtime.limits).image)
            for path in paths
        ]
        alike = np.array([chosen.similarity(values[a], values[b]) for a, b in true])
        both = np.array([near[a] and near[b] for a, b in true])
        apart = np.array([chosen.similarity(values[a], values[b]) for a, b in other])
        rows = []
        for threshold in np.round(np.arange(0.08, 1.0, 0.02), 2).tolist():
            wrong = float((apart >= threshold).mean()) * (every - len(true))
            right = int((alike >= threshold).sum())
            rows.append(
                {
                    "threshold": threshold,
                    "precision": round(right / max(right + wrong, 1), 4),
                    "recall": round(right / len(true), 4),
                    "recall_near": round(float((alike[both] >= threshold).mean()), 4),
                }
            )
        table[name] = rows
        useful = [row for row in rows if row["recall_near"] > 0.5 and row["precision"] > 0.2]
        print(name, *(f"  {row}" for row in useful), sep="\n")
    return table


def pairs_found(runtime: Runtime, category: str, run: str) -> tuple[Pairs, list[str]]:
    found = runtime.clusters.get(category, run)
    nodes: dict[str, list[str]] = {}
    for hit in runtime.vectors.scroll(category, limit=10_000).hits:
        nodes.setdefault(hit.payload["clusters"][found.key]["path"][-1], []).append(
            str(hit.payload["filename"])
        )
    together = {pair for id, names in nodes.items() if id != NOISE for pair in combinations(sorted(names), 2)}
    return together, [name for names in nodes.values() for name in names]


def row_of(runtime: Runtime, category: str, run: str, report: PixelReport) -> dict[str, Any]:
    found, names = pairs_found(runtime, category, run)
    near = {name for name in names if edit_of(name) in ("original", *NEAR_EDITS)}
    clothes = {name for name in names if edit_of(name) != "flip"}
    whole = judge(found, clothes, [edit for edit in EDITS if edit != "flip"])
    spent = max(report.seconds, 1e-9)
    return {
        "groups": report.groups,
        "grouped": report.grouped,
        "comparisons": report.comparisons,
        "seconds": round(spent, 2),
        "images_per_second": round(len(names) / spent, 1),
        "near_edits": judge(found, near, ())["rows"]["overall"],
        "all_edits": whole["rows"]["overall"],
        "recall_by_edit": {
            edit: figures["recall"] for edit, figures in whole["rows"].items() if edit != "overall"
        },
    }


def run_all(runtime: Runtime) -> dict[str, Any]:
    result: dict[str, Any] = {
        "defaults": dict(DEFAULT_THRESHOLDS),
        "images": runtime.vectors.count("test"),
        "test": {},
        "small": {},
    }
    for name in MEASURES:
        for label, options in {
            name: PixelOptions(name),
            f"{name}, proposed by embeddings": PixelOptions(name, propose="embedding"),
        }.items():
            report = cluster_pixels(runtime, "test", "px", options)
            result["test"][label] = row_of(runtime, "test", "px", report)
            show(label, result["test"][label])
    count = runtime.vectors.count("small")
    for name in ("ssim", "orb", "template", "dhash", "minhash"):
        rows = {}
        for label, options in {
            "batches": PixelOptions(name, batch_size=50),
            "all pairs": PixelOptions(name, batch_size=count),
        }.items():
            report = cluster_pixels(runtime, "small", "px", options)
            rows[label] = row_of(runtime, "small", "px", report)
            rows[label]["pairs"] = pairs_found(runtime, "small", "px")[0]
            show(f"{name}, {label} of {count}", rows[label])
        one, other = (rows[label].pop("pairs") for label in ("batches", "all pairs"))
        same = round(len(one & other) / max(len(one | other), 1), 4)
        less = round(rows["all pairs"]["comparisons"] / max(rows["batches"]["comparisons"], 1), 2)
        result["small"][name] = {
            **rows,
            "same_pairs": same,
            "comparisons_saved_factor": less,
            "images": count,
        }
        print(f"  the same pairs: {same:.1%}; {less} times fewer comparisons")
    return result


def show(label: str, row: dict[str, Any]) -> None:
    near, whole = row["near_edits"], row["all_edits"]
    print(
        f"{label:36} {row['comparisons']:>9,} comparisons {row['seconds']:>6.1f} s "
        f"{row['images_per_second']:>7.1f} images/s  near edits: precision {near['precision']:.3f} "
        f"recall {near['recall']:.3f}; all: {whole['precision']:.3f} {whole['recall']:.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="where pictures and vectors lie; kept for the next time"
    )
    parser.add_argument("--photos", type=int, default=1_200)
    parser.add_argument("--edited", type=int, default=200)
    parser.add_argument(
        "--choose", action="store_true", help="only print the thresholds' table of the train half"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    settings = Settings(
        _env_file=None,
        data=given.folder / "data",
        encoder=f"mobilenet={mobilenet()}",
        offline=True,
        min_free_mb=0,
        threads=2,
    )  # type: ignore[call-arg,unused-ignore]
    with open_runtime(settings, command="pixels benchmark") as runtime:
        prepare(runtime, given)
        result = choose(given.folder / "train", runtime) if given.choose else run_all(runtime)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
