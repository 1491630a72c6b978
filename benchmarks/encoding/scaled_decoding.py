"""What decoding large JPEG files smaller costs in likeness, and what it gains in time.

    python -m benchmarks.encoding.scaled_decoding FOLDER [--encoder REF ...] [--models FOLDER] [--count 24]

FOLDER holds photographs of any size. Three kinds of 12-megapixel files are made of them: mosaics of as many
photographs as fit, whose finest detail is real; the photographs enlarged, which have none; and painted ones
(benchmarks/photos.py). Each is decoded whole and by the decoder's own scaling to 1/2, 1/4 and 1/8, resized to
what the encoder reads, and encoded. Printed are the cosine of the scaled to the whole (least and median), how
many bits of the perceptual hash moved at most, and the time of decoding and resizing (median, rounds of all
scales in turn).
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photos import LARGE, photo
from vitrine.services.encoders.load import EncoderLoader
from vitrine.services.encoders.preprocess import fit
from vitrine.services.encoders.reference import parse_reference
from vitrine.services.images.open import perceptual_hash

SCALES = (1, 2, 4, 8)


def jpeg(image: Image.Image) -> bytes:
    """The picture as a camera would keep it."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def mosaics(photos: list[Image.Image], count: int) -> Iterator[Image.Image]:
    """12-megapixel pictures of many photographs side by side, none of them resized."""
    random = np.random.default_rng(3)
    for _ in range(count):
        canvas = Image.new("RGB", LARGE)
        y = 0
        while y < LARGE[1]:
            x, row = 0, 0
            while x < LARGE[0]:
                one = photos[int(random.integers(len(photos)))]
                canvas.paste(one, (x, y))
                x, row = x + one.width, max(row, one.height)
            y += row
        yield canvas


def enlarged(photos: list[Image.Image]) -> Iterator[Image.Image]:
    """The photographs at 12 megapixels."""
    for one in photos:
        grow = math.sqrt(LARGE[0] * LARGE[1] / (one.width * one.height))
        yield one.resize((round(one.width * grow), round(one.height * grow)), Image.Resampling.LANCZOS)


def decoded(data: bytes, scale: int) -> Image.Image:
    """The picture, shrunk by the decoder."""
    with Image.open(io.BytesIO(data)) as file:
        if scale > 1:
            file.draft("RGB", (file.width // scale, file.height // scale))
        file.load()
        return file.convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--count", type=int, default=24)
    args = parser.parse_args()
    files = sorted(file for file in args.folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    chosen = files[:: max(1, len(files) // (4 * args.count))][: 4 * args.count]
    photos = [Image.open(file).convert("RGB") for file in chosen]
    few = photos[:: max(1, len(photos) // args.count)][: args.count]
    kinds = {
        "mosaics": [jpeg(image) for image in mosaics(photos, args.count)],
        "enlarged": [jpeg(image) for image in enlarged(few)],
        "painted": [jpeg(photo(seed, LARGE)) for seed in range(max(4, args.count // 3))],
    }
    loader = EncoderLoader(models=args.models, offline=True, precision="float32")
    for name in args.encoder or ["demo"]:
        encoder = loader.load(parse_reference(name))
        preprocessing = encoder.spec.preprocessing
        for kind, pictures in kinds.items():
            rows: dict[int, list[np.ndarray]] = {scale: [] for scale in SCALES}
            hashes: dict[int, list[int]] = {scale: [] for scale in SCALES}
            seconds: dict[int, list[float]] = {scale: [] for scale in SCALES}
            for data in pictures:
                for scale in SCALES:
                    started = time.perf_counter()
                    image = decoded(data, scale)
                    pixels = fit(image, preprocessing)
                    seconds[scale].append(time.perf_counter() - started)
                    hashes[scale].append(int(perceptual_hash(image), 16))
                    rows[scale].append(encoder.encode_pixels([pixels])[0])
            shortest = min(Image.open(io.BytesIO(pictures[0])).size)
            print(
                f"\n{name} (reads {preprocessing.target}), {len(pictures)} {kind}, shortest edge {shortest}"
            )
            print(f"{'scale':>6} {'gap':>6} {'least':>9} {'median':>9} {'hash bits':>10} {'ms':>7}")
            for scale in SCALES:
                cosines = (np.array(rows[1]) * np.array(rows[scale])).sum(axis=1)
                bits = max((a ^ b).bit_count() for a, b in zip(hashes[1], hashes[scale], strict=True))
                gap = shortest / scale / preprocessing.target
                took = 1000 * float(np.median(seconds[scale]))
                print(
                    f"{'1/' + str(scale):>6} {gap:6.2f} {cosines.min():9.5f} {np.median(cosines):9.5f} "
                    f"{bits:10} {took:7.1f}"
                )


if __name__ == "__main__":
    main()
