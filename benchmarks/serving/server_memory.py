"""Memory and start of ``vitrine serve`` with a CLIP of ViT-B/32's size, whose weights are random.

    python -m benchmarks.serving.server_memory [--precision float32] [--model FOLDER]
                                               [--against FOLDER] [--rounds 3]

Each round starts a server over a category of a few pictures and asks for one search by text and one by
picture. Printed are medians: the seconds until /readyz answers 200, and for each moment the memory of the
API's process and of its engine's process in MB (10^6 bytes): ``resident`` is all that lies in memory, pages
of files included, ``own`` what no file stands for (RssAnon), which the system cannot take back.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path

import psutil

from benchmarks.encoding.models import make_clip_vit_b32
from benchmarks.photos import SMALL, make_photos

ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; sys.argv[0] = 'vitrine'; from vitrine.cli.main import main; main()"
PICTURES = 12
SETTLE_SECONDS = 2.0
"""After a search, before memory is read."""
Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="folder of a CLIP model (default: random weights)")
    parser.add_argument("--precision", default="auto", help="VITRINE_PRECISION (default auto)")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--first", action="store_true", help="start without a remembered proof each time")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    trees = {"this": ROOT} | ({"other": args.against.resolve()} if args.against else {})
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in trees}
    with tempfile.TemporaryDirectory(prefix="vitrine-serving-") as work:
        model = args.model or make_clip_vit_b32(Path(work) / "model")
        pictures = make_photos(Path(work) / "pictures", PICTURES, SMALL)
        environments = {}
        for name, tree in trees.items():
            environments[name] = environment(tree, Path(work) / name, args.precision)
            fill(environments[name], model, pictures[0].parent)
        for _ in range(args.rounds):
            for name, variables in environments.items():
                if args.first:
                    for proof in (Path(variables["VITRINE_DATA"]) / "cache" / "runtime").glob("*.json"):
                        proof.unlink()
                for figure, value in measure(variables, pictures[0]).items():
                    found[name][figure].append(value)
    medians = {
        name: {key: statistics.median(all_) for key, all_ in one.items()} for name, one in found.items()
    }
    print(f"{'':<44}" + "".join(f"{name:>10}" for name in trees))
    for key in medians["this"]:
        print(f"{key:<44}" + "".join(f"{medians[name][key]:>10.1f}" for name in trees))
    if args.json:
        args.json.write_text(json.dumps({"medians": medians, "rounds": found}, indent=1))


def environment(tree: Path, data: Path, precision: str) -> dict[str, str]:
    """Return the variables that a command of a tree runs with; a file tells the model of its category."""
    return {
        **os.environ,
        "PYTHONPATH": str(tree),
        "VITRINE_DATA": str(data),
        "VITRINE_PRECISION": precision,
        "VITRINE_OFFLINE": "1",
    }


def fill(variables: dict[str, str], model: Path, pictures: Path) -> None:
    """Index the pictures into the category ``bench``, whose encoder lies in ``model``."""
    subprocess.run(
        [sys.executable, "-P", "-c", RUN, "index", "add", str(pictures), "-c", "bench", "--create",
         "--encoder", f"clip={model}"],
        env=variables, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def measure(variables: dict[str, str], picture: Path) -> Figures:
    """Return the figures of one server, from its start to its second search."""
    started = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-P", "-c", RUN, "serve", "--port", "0"],
        env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        if not address:
            raise SystemExit("the server does not start")
        url = address[0]
        while _status(f"{url}/readyz") != 200:
            time.sleep(0.02)
        figures = {"seconds until /readyz": time.perf_counter() - started}
        search = f"{url}/v1/categories/bench/search"
        _wait_for_encoder(url)
        figures["seconds until the encoder is loaded"] = time.perf_counter() - started
        figures |= memory(server.pid, "after the start")
        asked = time.perf_counter()
        _ask(search, b'{"text": "a photo of a red house", "limit": 3}', "application/json")
        figures["seconds of the first text"] = time.perf_counter() - asked
        figures |= memory(server.pid, "after a text")
        mark = "frontier-of-a-form"
        body = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\n\r\n'.encode()
            + picture.read_bytes()
            + f"\r\n--{mark}--\r\n".encode()
        )
        asked = time.perf_counter()
        _ask(search, body, f"multipart/form-data; boundary={mark}")
        figures["seconds of the first picture"] = time.perf_counter() - asked
        return figures | memory(server.pid, "after a text and a picture")
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)


def memory(pid: int, moment: str) -> Figures:
    """Return what the API and its engine hold in MB, once it has settled."""
    time.sleep(SETTLE_SECONDS)
    api = psutil.Process(pid)
    engine = api.children(recursive=True)
    return {
        f"{moment}: API, resident MB": api.memory_info().rss / 1e6,
        f"{moment}: API, own MB": _own(pid) / 1e6,
        f"{moment}: engine, resident MB": sum(one.memory_info().rss for one in engine) / 1e6,
        f"{moment}: engine, own MB": sum(_own(one.pid) for one in engine) / 1e6,
    }


def _own(pid: int) -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def _wait_for_encoder(url: str) -> None:
    """Wait until the server has loaded the category's encoder, which it does after it has begun to serve."""
    while not _loaded(url):
        time.sleep(0.05)


def _loaded(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/v1/encoders", timeout=60) as answer:
        return bool(json.load(answer)["loaded"])


def _ask(url: str, body: bytes, media_type: str) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": media_type})
    with urllib.request.urlopen(request, timeout=300) as answer:
        answer.read()


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


if __name__ == "__main__":
    main()
