"""Measure search by picture on the Clothing Dataset (small): each test photo searches among the train photos.

A hit is right if it shows the same kind of garment; the kinds are the folders. precision@k is the share of
right hits among the first k, averaged over the photos of a class; ``overall`` averages over all photos. Train
and test photos differ.

    python -m benchmarks.learning.clothing --json clothing.json --sheet clothing.png
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets import dataset, mobilenet
from vitrine.indexer.ingest.pipeline import index_images
from vitrine.indexer.sources.records import ImageRecord
from vitrine.services.domain import Hit
from vitrine.services.images.contact_sheet import Tile, contact_sheet
from vitrine.services.runtime import Runtime, open_runtime
from vitrine.services.search.options import SearchOptions
from vitrine.services.search.questions import ByImage
from vitrine.services.settings import Settings

CATEGORY, FIRST = "clothing", 10


@dataclass(frozen=True)
class Photo:
    """One file of the dataset."""

    path: Path
    garment: str


@dataclass(frozen=True)
class Answer:
    """The hits of one test photo, best first."""

    photo: Photo
    hits: Sequence[Hit]
    encode_ms: float
    search_ms: float

    @property
    def right(self) -> list[bool]:
        return [hit.payload.get("class") == self.photo.garment for hit in self.hits]


def photos(folder: Path, most: int) -> list[Photo]:
    """Return at most ``most`` photos of each class (0: all), by name."""
    found = []
    for garment in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in garment.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        found += [Photo(path, garment.name) for path in files[: most or None]]
    return found


def records(found: Iterable[Photo]) -> Iterator[ImageRecord]:
    for photo in found:
        yield ImageRecord(
            "clothing",
            f"{photo.garment}/{photo.path.name}",
            photo.path.read_bytes,
            fields={"class": photo.garment},
        )


def ask(runtime: Runtime, found: Iterable[Photo]) -> Iterator[Answer]:
    options = SearchOptions(limit=FIRST)
    for photo in found:
        result = runtime.searcher.search(CATEGORY, ByImage(photo.path.read_bytes()), options)
        yield Answer(photo, result.hits, result.encode_ms, result.search_ms)


def precision(answers: Sequence[Answer], k: int) -> float:
    """Mean share of right ones among the first k hits.

    >>> photo = Photo(Path("a.jpg"), "hat")
    >>> hits = [Hit("1", payload_json=b'{"class": "hat"}'), Hit("2", payload_json=b'{"class": "shoes"}')]
    >>> precision([Answer(photo, hits, 0, 0)], 1), precision([Answer(photo, hits, 0, 0)], 2)
    (1.0, 0.5)
    """
    return sum(sum(answer.right[:k]) / k for answer in answers) / len(answers)


def table(answers: Sequence[Answer]) -> dict[str, dict[str, float]]:
    """Return precision@1 and @10 by class, by name, and overall."""
    by_class: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_class[answer.photo.garment].append(answer)
    groups = {**dict(sorted(by_class.items())), "overall": list(answers)}
    return {
        name: {
            "photos": len(group),
            "precision_at_1": round(precision(group, 1), 4),
            "precision_at_10": round(precision(group, FIRST), 4),
        }
        for name, group in groups.items()
    }


def sheet(runtime: Runtime, answers: Sequence[Answer], rows: int, path: Path) -> None:
    """Draw a row for each query, classes in turn: the framed query, then its hits with their class and
    similarity."""
    first_of_class = {answer.photo.garment: answer for answer in reversed(answers)}
    tiles = []
    for answer in [first_of_class[name] for name in sorted(first_of_class)][:rows]:
        tiles.append(
            Tile(answer.photo.path.read_bytes(), (f"query: {answer.photo.garment}", ""), highlighted=True)
        )
        for hit in answer.hits[:6]:
            data = runtime.objects.get(hit.payload["object_key"])
            tiles.append(Tile(data, (str(hit.payload["class"]), f"similarity {hit.similarity or 0:.3f}")))
    contact_sheet(tiles, columns=7, tile_size=150, title="Search by picture").save(path)


def run(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    settings = Settings(
        _env_file=None,
        data=folder,
        encoder=f"mobilenet={given.model}",
        offline=True,
        min_free_mb=0,
        qdrant_url=None,
        minio_endpoint=None,
    )
    with open_runtime(settings, command="clothing benchmark") as runtime:
        spec = runtime.encoders.get(settings.encoder).spec
        runtime.catalog.create(CATEGORY, [spec])
        train, test = photos(given.dataset / "train", given.most), photos(given.dataset / "test", given.most)
        started = time.perf_counter()
        report = index_images(records(train), runtime, CATEGORY)
        index_s = time.perf_counter() - started
        if report.error:
            raise report.error
        runtime.vectors.optimize(CATEGORY)
        answers = list(ask(runtime, test))
        if given.sheet:
            sheet(runtime, answers, given.rows, given.sheet)
        times = sorted(answer.encode_ms + answer.search_ms for answer in answers)
        return {
            "parameters": {
                "encoder": spec.name,
                "revision": spec.revision,
                "dim": spec.dim,
                "train": len(train),
                "test": len(test),
            },
            "index": {
                "added": report.added,
                "refused": report.refused,
                "images_per_s": round(len(train) / index_s, 1),
            },
            "query_p50_ms": round(times[len(times) // 2], 1),
            "precision": table(answers),
        }


def show(result: dict[str, Any]) -> None:
    index = result["index"]
    print(
        f"indexed {index['added']} photos at {index['images_per_s']} a second; a query takes "
        f"{result['query_p50_ms']} ms"
    )
    print(f"{'class':14}{'photos':>8}{'P@1':>8}{'P@10':>8}")
    for name, row in result["precision"].items():
        print(f"{name:14}{row['photos']:>8}{row['precision_at_1']:>8.3f}{row['precision_at_10']:>8.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        help="folder with train/<class> and test/<class> (default: clothing)",
    )
    parser.add_argument("--model", type=Path, help="folder of the encoder (default: MobileNetV2)")
    parser.add_argument(
        "--most", type=int, default=0, help="photos of each class, for a short trial (default: all)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet (PNG) of a few queries here")
    parser.add_argument("--rows", type=int, default=6, help="queries on the sheet")
    given = parser.parse_args()
    given.dataset = given.dataset or dataset("clothing")
    given.model = given.model or mobilenet()
    with tempfile.TemporaryDirectory() as folder:
        result = run(given, Path(folder))
    show(result)
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
