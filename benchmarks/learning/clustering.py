"""Measure seconds and memory of the 16-way tree of 100,000 vectors of 512 dimensions, next to scikit-learn's
KMeans used in the same way.

Both split node by node by the same rule, one start each; theirs is ``KMeans(n_init=1)`` with its default
tolerance. They run in turn, each in a process of its own, on the same generated vectors: ``--groups`` groups
around 40 directions, with noise. The inertias (sum of squared distances to the means of the leaves, and of
the root's children) must be within 2 %. Peak memory counts from when the vectors are there. ``--growth`` runs
ours alone on a tenth as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vitrine.indexer.enrich.clusters.options import TreeOptions
from vitrine.indexer.enrich.clusters.tree.kmeans import Labels, kmeans
from vitrine.indexer.enrich.clusters.tree.tree import build_tree
from vitrine.services.domain import Embeddings

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--leaf-size", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, in turn; the fastest counts")
    parser.add_argument(
        "--growth", action="store_true", help="ours alone, on a tenth of the images and on all"
    )
    parser.add_argument("--vectors", type=Path, help="an .npy file of unit rows instead of made ones")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    figures = growth(args) if args.growth else compare(args)
    if args.json:
        parameters = {name: str(value) for name, value in vars(args).items()}
        args.json.write_text(json.dumps({"parameters": parameters, "figures": figures}, indent=1))


def compare(args: argparse.Namespace) -> Figures:
    """Measure both, in turn."""
    runs: dict[str, list[Figures]] = {"ours": [], "scikit-learn": []}
    for _ in range(args.repeat):
        for way, told in runs.items():
            told.append(apart(args, way, args.images))
            show(way, told[-1])
    best = {way: min(told, key=lambda figures: float(figures["seconds"])) for way, told in runs.items()}
    ours, theirs = best["ours"], best["scikit-learn"]
    ratio = {
        "times as fast": round(theirs["seconds"] / ours["seconds"], 2),
        "first level times as fast": round(theirs["first level s"] / ours["first level s"], 2),
        "inertia of leaves": round(ours["inertia of leaves"] / theirs["inertia of leaves"], 4),
        "inertia of the first level": round(
            ours["inertia of the first level"] / theirs["inertia of the first level"], 4
        ),
    }
    show("ours : scikit-learn", ratio)
    return {**best, "ratio": ratio}


def growth(args: argparse.Namespace) -> Figures:
    """Measure ours, on a tenth and on all."""
    found = {str(images): apart(args, "ours", images) for images in (args.images // 10, args.images)}
    for images, figures in found.items():
        show(images, figures)
    few, many = found.values()
    show("growth", {"times as long": round(many["seconds"] / few["seconds"], 1)})
    return found


def apart(args: argparse.Namespace, way: str, images: int) -> Figures:
    """Measure once in a process of its own: memory that another run left free would not count."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(args.threads))
    command = [
        sys.executable,
        "-m",
        "benchmarks.learning.clustering",
        "--one",
        way,
        "--images",
        str(images),
        "--dim",
        str(args.dim),
    ]
    command += ["--groups", str(args.groups), "--leaf-size", str(args.leaf_size)]
    command += ["--vectors", str(args.vectors)] if args.vectors else []
    done = subprocess.run(command, env=os.environ | threads, stdout=subprocess.PIPE, check=True, text=True)
    figures: Figures = json.loads(done.stdout)
    return figures


def measure(args: argparse.Namespace) -> Figures:
    """Return seconds, processor seconds, and how far the resident memory rose, in multiples of the
    vectors."""
    x = np.load(args.vectors)[: args.images] if args.vectors else made(args.images, args.dim, args.groups)
    options = TreeOptions(leaf_size=args.leaf_size)
    WAYS[args.one](x[:2_000].copy(), options)  # libraries are loaded, threads started
    before = reset_peak()
    wall, processor = time.perf_counter(), time.process_time()
    leaves = WAYS[args.one](x, options)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resident_peak() - before
    started = time.perf_counter()
    first = FIRST[args.one](x)
    return {
        "seconds": round(wall, 2),
        "processor s": round(processor, 2),
        "first level s": round(time.perf_counter() - started, 2),
        "peak / vectors": round(1 + peak / x.nbytes, 2),
        "leaves": int(leaves.max()) + 1,
        "inertia of leaves": inertia(x, leaves),
        "inertia of the first level": inertia(x, first),
    }


def ours(x: Embeddings, options: TreeOptions) -> Labels:
    return build_tree(x, options).leaves


def theirs(x: Embeddings, options: TreeOptions) -> Labels:
    """Build the tree by the same rule with scikit-learn, without what a tree knows of its nodes (medoids,
    radii ...)."""
    leaves, count = np.zeros(len(x), np.int32), 0
    nodes = [(np.arange(len(x)), 0)]
    while nodes:
        rows, depth = nodes.pop()
        wanted = options.children(len(rows), depth)
        if not wanted:
            leaves[rows] = count
            count += 1
            continue
        labels = sklearn_labels(x if len(rows) == len(x) else x[rows], wanted)
        nodes += [(rows[labels == label], depth + 1) for label in range(wanted) if (labels == label).any()]
    return leaves


def sklearn_labels(x: Embeddings, k: int) -> Labels:
    from sklearn.cluster import KMeans

    labels: Labels = KMeans(k, n_init=1, random_state=0, copy_x=False).fit_predict(x)
    return labels


WAYS: dict[str, Callable[[Embeddings, TreeOptions], Labels]] = {"ours": ours, "scikit-learn": theirs}
FIRST: dict[str, Callable[[Embeddings], Labels]] = {
    "ours": lambda x: kmeans(x, 16).labels,
    "scikit-learn": lambda x: sklearn_labels(x, 16),
}


def inertia(x: Embeddings, labels: Labels) -> float:
    """Return the sum of squared distances to the means of the groups: |x|^2 - n |mean|^2."""
    counts = np.bincount(labels)
    order = np.argsort(labels, kind="stable")
    total = 0.0
    for rows in np.split(order, np.cumsum(counts)[:-1]):
        part = x[rows]
        total += float(np.einsum("ij,ij->", part, part, dtype=np.float64))
        total -= float((part.sum(axis=0, dtype=np.float64) ** 2).sum()) / len(rows)
    return total


def made(images: int, dim: int, groups: int) -> Embeddings:
    """Return unit rows: 40 directions, groups around these, images around the groups."""
    draw = np.random.default_rng(0)
    coarse = draw.standard_normal((40, dim), dtype=np.float32)
    fine = coarse[draw.integers(40, size=groups)] + draw.standard_normal((groups, dim), dtype=np.float32)
    x = np.empty((images, dim), np.float32)
    for start in range(0, images, 10_000):  # or the making would be the peak
        rows = x[start : start + 10_000]
        rows[:] = fine[draw.integers(groups, size=len(rows))] + 1.2 * draw.standard_normal(
            rows.shape, dtype=np.float32
        )
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return x


def reset_peak() -> int:
    """Return the bytes that are resident now; the peak counts from here on (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    return resident_peak()


def resident_peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def show(title: str, figures: Figures) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value}" for name, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
