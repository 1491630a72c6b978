"""What thumbnails and previews cost: bytes and milliseconds by width and WebP method, the colour and blur
of a picture, and a grid of 60 thumbnails over HTTP.

    python -m benchmarks.serving.thumbnails [--grid 60] [--folder PICTURES] [--json FILE]

Without ``--folder`` the pictures are drawn: 60 of 0.2 and 60 of 12 megapixels, with the grain of photographs.
Times of single steps are processor time of one core, which other work disturbs less; those of the grid are
wall time over six connections, as a browser opens them, with the processor time of the server.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import Any

import psutil
from PIL import Image

from benchmarks.photos import LARGE, SMALL, make_photos
from vitrine.services.category.thumbnails import WIDTHS
from vitrine.services.images.budget import ImageLimits
from vitrine.services.images.open import open_image, picture_of, small_size
from vitrine.services.images.previews import preview_of
from vitrine.services.images.thumbnails import thumbnail_of_file

PORT, CONNECTIONS = 8471, 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", type=int, default=60, help="thumbnails that are asked for at once")
    parser.add_argument("--folder", type=Path, help="a folder of pictures instead of drawn ones")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vitrine-thumbnails-") as work:
        folders = {"given": args.folder} if args.folder else {}
        for name, size in () if args.folder else (("0.2 megapixels", SMALL), ("12 megapixels", LARGE)):
            folders[name] = Path(work) / name.replace(" ", "-")
            make_photos(folders[name], args.grid, size)
        for name, folder in folders.items():
            files = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()][: args.grid]
            figures[name] = steps(files) | encodings(files) | grid(Path(work) / f"{name}-data", folder, args)
            for step, figure in figures[name].items():
                print(f"{name:<16} {step:<28} {figure}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def steps(files: Sequence[bytes]) -> dict[str, str]:
    """Return what each step takes in the median."""
    limits = ImageLimits()
    opened = [open_image(data, target=224, limits=limits).image for data in files]
    found = {"open for an encoder": _spent(lambda data: open_image(data, target=224, limits=limits), files)}
    found["colour and blur"] = _spent(preview_of, opened)
    for width in WIDTHS:
        found[f"thumbnail of {width}"] = _spent(
            lambda data, width=width: thumbnail_of_file(data, width, limits=limits), files
        )
    return {step: f"{ms:8.2f} ms" for step, ms in found.items()}


def encodings(files: Sequence[bytes]) -> dict[str, str]:
    """Return bytes and time of WebP's methods, and of JPEG."""
    found: dict[str, str] = {}
    for width in WIDTHS:
        small = [_shrunk(data, width) for data in files]
        for name, how in (
            ("jpeg 80", {"format": "JPEG", "quality": 80}),
            *((f"webp 75 m{m}", {"format": "WEBP", "quality": 75, "method": m}) for m in (0, 2, 4)),
        ):
            sizes: list[int] = []

            def save(image: Image.Image, how: Any = how, sizes: list[int] = sizes) -> None:
                buffer = io.BytesIO()
                image.save(buffer, **how)
                sizes.append(buffer.tell())

            ms = _spent(save, small)
            found[f"{name}, {width} wide"] = f"{ms:8.2f} ms {fmean(sizes) / 1e3:8.1f} KB"
    return found


def grid(data: Path, folder: Path, args: argparse.Namespace) -> dict[str, str]:
    """Return how long a grid takes: made, from the object store (after a restart), and from memory."""
    environment = {**os.environ, "VITRINE_DATA": str(data), "VITRINE_ENCODER": "colour"}
    command = [sys.executable, "-c", "from vitrine.cli.main import main; main()"]
    index = [*command, "index", "add", str(folder), "-c", "grid", "--create"]
    subprocess.run(index, env=environment, check=True, capture_output=True)
    found: dict[str, str] = {}
    for rounds in (("made",), ("from the store", "from memory")):
        with served([*command, "serve", "--port", str(PORT)], environment) as server:
            hits = json.loads(_get(f"/v1/categories/grid/images?limit={args.grid}"))["hits"]
            paths = [f"{hit['urls']['thumbnail']}?w=320" for hit in hits]
            for name in rounds:
                wall, before = time.perf_counter(), sum(server.cpu_times()[:2])
                with ThreadPoolExecutor(CONNECTIONS) as pool:
                    shares = [paths[number::CONNECTIONS] for number in range(CONNECTIONS)]
                    size = sum(pool.map(_get_all, shares))
                spent = sum(server.cpu_times()[:2]) - before
                found[f"grid of {len(paths)}, {name}"] = (
                    f"{1e3 * (time.perf_counter() - wall):8.0f} ms, server {1e3 * spent:6.0f} ms, "
                    f"{size / 1e3:.0f} KB"
                )
    return found


@contextmanager
def served(command: Sequence[str], environment: dict[str, str]) -> Iterator[psutil.Process]:
    """Run a server until it answers and to the end of the block."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.perf_counter() + 60
        while process.poll() is None and time.perf_counter() < until:
            try:
                _get("/readyz")
                break
            except OSError:
                time.sleep(0.1)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _get(path: str, connection: http.client.HTTPConnection | None = None) -> bytes:
    connection = connection or http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
    return body


def _get_all(paths: Sequence[str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    return sum(len(_get(path, connection)) for path in paths)


def _shrunk(data: bytes, width: int) -> Image.Image:
    image, _ = picture_of(data, width, limits=ImageLimits())
    return image.resize(small_size(image.size, width), Image.Resampling.HAMMING, reducing_gap=2.0)


def _spent(step: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Return the milliseconds of processor time that a step takes for one item, in the median."""
    step(items[0])
    found = []
    for item in items:
        started = time.process_time()
        step(item)
        found.append(time.process_time() - started)
    return 1e3 * median(found)


if __name__ == "__main__":
    main()
