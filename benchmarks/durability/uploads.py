"""Send a large folder to a server that is killed again and again, as docs/http-api.md does it: ask which
files are there, send the rest, and begin anew where the connection broke.

    python -m benchmarks.durability.uploads [--images 10000] [--kills 10]

Counted: images that are missing in the end or there twice, and files that were sent although the server had
acknowledged them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
from PIL import Image

from tests.served import served

AT_ONCE = 64
CATEGORY = "folder"


class Server:
    """A server that is killed and started again at the same address."""

    def __init__(self, data: Path, stack: ExitStack) -> None:
        self._data, self._stack = data, stack
        self.process, self.url = stack.enter_context(served(data))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        port = self.url.rpartition(":")[2]
        self.process, _ = self._stack.enter_context(served(self._data, VITRINE_PORT=port))


def pictures(count: int) -> list[bytes]:
    """Return that many pictures, each of other bytes."""
    pick, found = random.Random(4), []
    for number in range(count):
        image = Image.new("RGB", (24, 24), tuple(pick.randrange(256) for _ in range(3)))
        image.putpixel((number % 24, number // 24 % 24), (number % 256, number // 256 % 256, 7))
        file = io.BytesIO()
        image.save(file, "PNG")
        found.append(file.getvalue())
    return list(dict.fromkeys(found))


def send(url: str, files: dict[str, bytes], acknowledged: set[str], sent_again: list[str]) -> None:
    """Send what the server does not have. Raises where the connection breaks."""
    names = list(files)
    with httpx.Client(base_url=f"{url}/v1/categories/{CATEGORY}/", timeout=60) as client:
        for start in range(0, len(names), AT_ONCE):
            part = names[start : start + AT_ONCE]
            answer = client.post("images/known", json={"sha256": part}).raise_for_status()
            missing = [name for name in part if name not in answer.json()["known"]]
            if missing:
                sent_again += [name for name in missing if name in acknowledged]
                form = [("files", (f"{name}.png", files[name])) for name in missing]
                client.post("images", files=form).raise_for_status()
            acknowledged.update(part)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    given = parser.parse_args()
    files = {hashlib.sha256(data).hexdigest(): data for data in pictures(given.images)}
    acknowledged: set[str] = set()
    sent_again: list[str] = []
    broken, pick, began = 0, random.Random(5), time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, ExitStack() as stack:
        server = Server(Path(name) / "data", stack)
        made = httpx.post(f"{server.url}/v1/categories", json={"name": CATEGORY}, timeout=60)
        made.raise_for_status()
        done = threading.Event()

        def kill_now_and_then() -> None:
            for _ in range(given.kills):
                if done.wait(pick.uniform(1.0, 6.0)):
                    return
                server.kill()

        killer = threading.Thread(target=kill_now_and_then)
        killer.start()
        while True:
            try:
                send(server.url, files, acknowledged, sent_again)
                break
            except httpx.HTTPError:
                broken += 1
                time.sleep(0.5)
        done.set()
        killer.join()
        seconds = time.monotonic() - began
        count, cursor, seen = 0, None, set[str]()
        while True:
            query = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
            page = httpx.get(f"{server.url}/v1/categories/{CATEGORY}/images", params=query, timeout=60).json()
            count += len(page["hits"])
            seen |= {hit["payload"]["sha256"] for hit in page["hits"]}
            cursor = page.get("cursor")
            if not cursor:
                break
    print(
        json.dumps(
            {
                "files": len(files),
                "connections_broken": broken,
                "images": count,
                "missing": len(files.keys() - seen),
                "twice": count - len(seen),
                "sent_although_acknowledged": len(sent_again),
                "seconds": round(seconds, 1),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
