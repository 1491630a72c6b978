"""Whole answers over HTTP: a query in figures (ten facets, four histograms) and a map of all images as
columns.

    python -m benchmarks.serving.whole_answers [--count 100000] [--rounds 30] [--folder FOLDER] [--json FILE]

The category is that of ``benchmarks.page.synthetic``, with payloads of fourteen fields. ``cold`` is the
first answer of a server, which reads the columns. ``--folder`` keeps the data, and takes them from there
the next time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.page.synthetic import MAP, NAME, make_category, point_id
from tests.served import served

COUNTED = ("metadata.shop", "metadata.season", "metadata.year", "metadata.sold")
FACETS = ("class", "tags", "media_type", "duplicate_group", "width", "height", *COUNTED)
HISTOGRAMS = ("quality", "bytes", "metadata.price", "metadata.weight")
QUESTIONS: dict[str, dict[str, Any]] = {
    "all images": {},
    "two classes": {"filter": {"class": ["class-01", "class-02"]}},
    "nearest to an image": {"id": point_id(7)},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-whole-") as work:
        folder = args.folder or Path(work) / "data"
        if not folder.exists():
            make_category(folder, args.count)
        with served(folder) as (_, url):
            figures = measure(http.client.HTTPConnection(urlsplit(url).netloc), args.count, args.rounds)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def measure(server: http.client.HTTPConnection, count: int, rounds: int) -> dict[str, Any]:
    body = {
        "facets": [{"field": field, "limit": 12} for field in FACETS],
        "histograms": [{"field": field, "bins": 40} for field in HISTOGRAMS],
    }
    figures: dict[str, Any] = {"count": count, "cold_summary_ms": asked(server, "summary", body)[0]}
    took: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    for _ in range(rounds):
        for name, question in QUESTIONS.items():
            took[name].append(asked(server, "summary", body | question)[0])
    figures["summary_p50_ms"] = {name: round(statistics.median(each), 1) for name, each in took.items()}
    for path in (f"columns?fields=map.{MAP},class,aspect", "columns/ids"):
        times, size = [], 0
        for _ in range(3):
            ms, size = asked(server, path)
            times.append(ms)
        figures[path.partition("?")[0]] = {"ms": statistics.median(times), "megabytes": round(size / 1e6, 2)}
    filter = {"filter": {"class": ["class-01"], "metadata": {"price": {"gte": 50}}}}
    masks = [asked(server, "columns/mask", filter)[0] for _ in range(9)]
    figures["mask_ms"] = statistics.median(masks)
    return figures


def asked(
    server: http.client.HTTPConnection, path: str, body: dict[str, Any] | None = None
) -> tuple[float, int]:
    """Return the milliseconds of one answer, and its bytes on the wire."""
    headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
    started = time.perf_counter()
    method = "GET" if body is None else "POST"
    server.request(
        method, f"/v1/categories/{NAME}/{path}", None if body is None else json.dumps(body), headers
    )
    answer = server.getresponse()
    data = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {data[:300]!r}")
    return round((time.perf_counter() - started) * 1000, 1), len(data)


if __name__ == "__main__":
    main()
