"""Save the answers of a version of Vitrine, or compare them with those that another version saved.

The searches: on the demo's catalogue by words, by picture and by id, with the demo's CLIP model; on the
Clothing Dataset (small) each test photo among the test photos, with MobileNetV2. ``overlap`` is the share of
the saved first ten hits that are among the first ten now; ``same first`` the share of searches whose first
hit is the same.

    python -m benchmarks.serving.answers --save before.json        # with the former version
    python -m benchmarks.serving.answers --compare before.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import vitrine
from benchmarks.datasets import dataset, mobilenet
from vitrine.data.catalogue import draw_catalogue

FIRST = 10
WORDS = (
    *(
        f"a {colour} {thing}"
        for colour in ("red", "blue", "green")
        for thing in ("mug", "lamp", "chair", "shoe")
    ),
    *(
        "something round",
        "stripes on a dark ground",
        "a small yellow thing",
        "a bottle",
        "two things",
        "kitchen",
    ),
)
Answers = dict[str, dict[str, list[str]]]
"""File names of the first hits, by search, by collection."""


def demo(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield searches on the drawn catalogue, and what they found."""
    draw_catalogue(folder / "catalogue")
    with vitrine.open(folder / "data", progress=False) as v:
        drawn = v.create("drawn", encoder="demo")
        drawn.add(folder / "catalogue" / "manifest.csv")
        for text in WORDS:
            yield text, [str(hit.filename) for hit in drawn.search(text, limit=FIRST)]
        for image in drawn.images(limit=40):
            yield f"id {image.filename}", [str(h.filename) for h in drawn.search(like=image, limit=FIRST)]
            by_picture = drawn.search(image=image.picture(), limit=FIRST)
            yield f"picture {image.filename}", [str(hit.filename) for hit in by_picture]


def clothing(folder: Path, photos: Path, model: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield searches by each test photo, and what they found."""
    with vitrine.open(folder / "clothes-data", progress=False) as v:
        clothes = v.create("clothes", encoder=f"mobilenet={model}")
        clothes.add(photos)
        for path in sorted(photos.rglob("*.jpg")):
            found = clothes.search(image=path, limit=FIRST)
            yield path.relative_to(photos).as_posix(), [str(hit.filename) for hit in found]


def compare(before: Answers, now: Answers) -> Iterator[str]:
    """Yield a line for each collection."""
    for name, searches in before.items():
        pairs = [(hits, now[name][search]) for search, hits in searches.items()]
        overlaps = [len(set(old) & set(new)) / len(old) for old, new in pairs if old]
        first = statistics.mean(old[:1] == new[:1] for old, new in pairs)
        yield (
            f"{name}: {len(pairs)} searches, overlap of the first {FIRST}: mean "
            f"{statistics.mean(overlaps):.4f}, least {min(overlaps):.2f}; same first: {first:.4f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", type=Path, help="write the answers to this JSON file")
    parser.add_argument("--compare", type=Path, help="compare with the answers in this JSON file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photos = dataset("clothing") / "test"
        now: Answers = {
            "demo": dict(demo(Path(scratch))),
            "clothing": dict(clothing(Path(scratch), photos, mobilenet())),
        }
    if given.save:
        given.save.write_text(json.dumps(now, indent=1), encoding="utf-8")
    if given.compare:
        print("\n".join(compare(json.loads(given.compare.read_text(encoding="utf-8")), now)))


if __name__ == "__main__":
    main()
