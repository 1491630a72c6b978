"""What metric learning gains on the Clothing Dataset (small), where each test photo searches among the train
photos.

Three runs: the embedder alone behind a frozen trunk, the trunk's last blocks as well, and class-disjoint
ones, whose test asks for garments that training never saw. All choices (``--search`` repeats those of the
frozen mode) are made on the validation photos; the test photos are looked at once, by the recipes below.
Photos of the test are in no other part.

    python -m benchmarks.learning.metric --json metric.json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from benchmarks.datasets import dataset, mobilenet
from vitrine.services.encoders.families.metric_config import Mode
from vitrine.services.encoders.reference import EncoderReference
from vitrine.training.data.dataset import LabelledImage, class_names, identify, read_folder
from vitrine.training.data.duplicates import duplicate_groups
from vitrine.training.data.splits import Split, split_by_class, split_given
from vitrine.training.metric.evaluate import Comparison
from vitrine.training.metric.options import MetricOptions
from vitrine.training.metric.report import summarise
from vitrine.training.metric.run import judge_and_save
from vitrine.training.metric.train import TrainedMetric, Watch, train_metric
from vitrine.training.metric.trunk import Trunk

UNSEEN = {
    ("hat", "longsleeve", "shoes"): ("dress", "shorts"),
    ("dress", "pants", "t-shirt"): ("shoes", "shirt"),
    ("outwear", "shorts", "skirt"): ("hat", "pants"),
}
"""Three class-disjoint splits, so that each garment but one is unseen once: the test's classes, and those of
the validation."""
FROZEN = MetricOptions()
LAST_BLOCKS = MetricOptions(mode="last-blocks", blocks=3, views=2, trunk_lr=3e-4, epochs=10)
CLASS_DISJOINT = replace(FROZEN, embedder_layers=(512,), lr=1e-4, patience=5)
"""The mildest of those that were tried on validation classes: one linear layer, hardly moved."""


@dataclass(frozen=True)
class Bench:
    """The photos, and where what is computed lies."""

    images: Sequence[LabelledImage]
    model: Path
    folder: Path
    quiet: bool = False

    def trunk(self) -> Trunk:
        return Trunk(EncoderReference("mobilenet", str(self.model)))

    def train(self, split: Split, options: MetricOptions) -> tuple[TrainedMetric, dict[str, float]]:
        """The best epoch on validation, and what training took: by the clock, and of all cores together."""
        started, busy = time.perf_counter(), time.process_time()
        watch = Watch() if self.quiet or options.mode == "frozen" else Watch(on_epoch=show_epoch)
        trained = train_metric(
            self.images, split, self.trunk(), options, cache=self.folder / "cache", watch=watch
        )
        took = {
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(time.process_time() - busy, 1),
        }
        return trained, took

    def judge(self, trained: TrainedMetric, split: Split, name: str) -> Comparison:
        """Look at the test photos, through the encoder's folder."""
        saved = judge_and_save(
            trained,
            self.images,
            split,
            self.folder / name,
            summary=summarise(self.images, split),
            cache=self.folder / "cache",
        )
        return saved.judged.comparison


def show_epoch(row: Mapping[str, float]) -> None:
    print(
        f"  epoch {row['epoch']:.0f}: loss {row['loss']:.3f}, recall@1 {row['recall_at_1']:.3f}, "
        f"{row['seconds']:.1f} s",
        flush=True,
    )


def search(bench: Bench, split: Split) -> list[dict[str, Any]]:
    """The frozen mode's choices, by their mean validation figures over three seeds."""
    rows = []
    for loss, layers, views in product(
        ("SupCon", "MultiSimilarity", "ProxyAnchor"), ((512, 128), (1024, 256)), (0, 2)
    ):
        options = replace(FROZEN, loss=loss, embedder_layers=layers, views=views)
        found = [bench.train(split, replace(options, seed=seed)) for seed in range(3)]
        best = [trained.history[trained.best_epoch - 1] for trained, _ in found]
        rows.append(
            {
                "loss": loss,
                "layers": layers,
                "views": views,
                "recall_at_1": mean(row["recall_at_1"] for row in best),
                "precision_at_10": mean(row["precision_at_10"] for row in best),
            }
        )
        row = rows[-1]
        print(
            f"  {loss:16}{layers!s:14}{views} views: recall@1 {row['recall_at_1']:.3f}, P@10 "
            f"{row['precision_at_10']:.3f}",
            flush=True,
        )
    return rows


def by_image(bench: Bench, options: MetricOptions) -> dict[str, Any]:
    """One mode on the folders that the data comes in; again with what the first run has cached."""
    split = split_given(bench.images)
    trained, took = bench.train(split, options)
    result: dict[str, Any] = {"options": asdict(options), "took": took}
    if options.mode == "frozen":
        result["took_cached"] = bench.train(split, options)[1]
    comparison = bench.judge(trained, split, options.mode)
    result |= {"best_epoch": trained.best_epoch, "validation": trained.history[trained.best_epoch - 1]}
    return result | {"test": comparison.tree(), "text": comparison.text()}


def by_class(bench: Bench, options: MetricOptions) -> list[dict[str, Any]]:
    """Train on five classes, choose by two others, judge on the photos of the last three, each sought among
    the rest of them."""
    results = []
    groups = duplicate_groups(bench.images)
    for unseen, validation in UNSEEN.items():
        train = sorted(set(class_names(bench.images)) - {*unseen, *validation})
        split = split_by_class(bench.images, groups=groups, train=train, validation=validation, test=unseen)
        trained, took = bench.train(split, options)
        comparison = bench.judge(trained, split, f"class-disjoint-{len(options.embedder_layers)}-{unseen[0]}")
        results.append(
            {
                "unseen": unseen,
                "layers": options.embedder_layers,
                "took": took,
                "best_epoch": trained.best_epoch,
                "test": comparison.tree(),
                "text": comparison.text(),
            }
        )
    return results


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    images, unusable = identify(read_folder(given.dataset))
    bench = Bench(images, given.model, folder)
    result: dict[str, Any] = {
        "parameters": {
            "images": len(images),
            "unusable": len(unusable),
            "threads": torch.get_num_threads(),
            "model": given.model.name,
        }
    }
    if given.search:
        print("choices of the frozen mode, on validation")
        result["search"] = search(bench, split_given(images))
    modes: dict[Mode, MetricOptions] = {"frozen": FROZEN, "last-blocks": LAST_BLOCKS}
    for mode in given.modes:
        print(f"{mode}, by image")
        result[mode] = by_image(bench, modes[mode])
        print(f"{result[mode].pop('text')}\ntook {result[mode]['took']}", flush=True)
        if "took_cached" in result[mode]:
            print(f"with cached embeddings {result[mode]['took_cached']}")
        print(flush=True)
    for name, options in (
        {"the same recipe": FROZEN, "one linear layer": CLASS_DISJOINT}.items()
        if given.class_disjoint
        else ()
    ):
        result[f"class-disjoint, {name}"] = by_class(bench, options)
        for row in result[f"class-disjoint, {name}"]:
            print(
                f"class-disjoint, {name}, {', '.join(row['unseen'])} unseen\n{row.pop('text')}\n", flush=True
            )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        help="folder with train, validation and test (default: clothing)",
    )
    parser.add_argument("--model", type=Path, help="folder of the trunk (default: MobileNetV2)")
    parser.add_argument(
        "--modes", nargs="*", choices=("frozen", "last-blocks"), default=["frozen", "last-blocks"]
    )
    parser.add_argument(
        "--class-disjoint",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="the class-disjoint runs too",
    )
    parser.add_argument(
        "--search", action="store_true", help="repeat the search for the frozen mode's choices"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep embeddings, encoders and reports here (default: a temporary folder)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    given.dataset = given.dataset or dataset("clothing")
    given.model = given.model or mobilenet()
    with tempfile.TemporaryDirectory() as temporary:
        result = run(given, given.folder or Path(temporary))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
