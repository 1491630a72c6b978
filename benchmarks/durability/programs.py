"""A server, a notebook, two commands and jobs on one data folder, of which a random one is killed every few
seconds (SIGKILL): what was acknowledged must be there, once, and nobody may hang.

The server is sent pictures one by one, the notebook edits random images, each command indexes a folder of new
pictures, and jobs write clusters or maps. Whoever is killed is started again; the engine and
the children of jobs are killed as well. Counted at the end: acknowledged images and edits that are gone,
images that are there twice, and calls that took longer than a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.photos import make_photos, numbered
from vitrine.services.images.open import content_hash, point_id

RUN = """
import faulthandler, sys
faulthandler.dump_traceback_later(50)  # where one stands that takes too long
sys.argv[0] = "vitrine"
from vitrine.cli.main import main
main()
"""
NOTEBOOK = """
import random, sys, uuid
import vitrine
with vitrine.open(sys.argv[1], encoder="colour", progress=False) as library:
    shop = library["shop"]
    while True:
        ids = [hit.id for hit, _ in zip(shop, range(200))]
        for id in random.sample(ids, min(5, len(ids))):
            tag = f"t-{uuid.uuid4().hex[:10]}"
            shop.edit([id], add_tags=[tag])
            print(id, tag, flush=True)
"""
STUCK_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two kills")
    parser.add_argument("--batch", type=int, default=40, help="pictures in a folder that a command indexes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitrine-programs-") as work:
        print(json.dumps(Drill(args, Path(work)).run(), indent=2))


class Drill:
    """The programs, what they were told, and who is killed next."""

    def __init__(self, args: argparse.Namespace, work: Path) -> None:
        self.args, self.work, self.data = args, work, work / "data"
        self.rng = random.Random(args.seed)
        self.env = {**os.environ, "VITRINE_ENCODER": "colour", "VITRINE_MIN_FREE_MB": "0"}
        self.picture = make_photos(work / "base", 1, (96, 72))[0].read_bytes()
        self.number = 0
        self.images: set[str] = set()
        self.edits: set[tuple[str, str]] = set()
        self.seen = Counter[str]()
        self.mutex = threading.Lock()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.port = _free_port()
        self.over = False

    def run(self) -> dict[str, object]:
        """Start all, kill, let the last ones finish, and count."""
        first = self.folder(20)
        done = self.start(
            "first", "index", "add", str(first), "-c", "shop", "--create", "--encoder", "colour"
        )
        assert done.wait() == 0
        self.images.update(self.ids(first))
        threads = [
            threading.Thread(target=self.keep, args=(what,))
            for what in (self.serve, self.notebook, self.command_a, self.command_b, self.upload, self.jobs)
        ]
        for thread in threads:
            thread.start()
        for _ in range(self.args.kills):
            time.sleep(self.args.every)
            self.kill_one()
        self.over = True
        last = time.monotonic() + 2 * STUCK_S
        while any(thread.is_alive() for thread in threads) and time.monotonic() < last:
            for name in ("serve", "notebook", "job"):  # again: one may just have been started anew
                self.running[name].send_signal(signal.SIGINT)
            threads[0].join(5)
            for thread in threads:
                thread.join(0.1)
        stuck = sum(thread.is_alive() for thread in threads)
        for line in (self.work / "job.log").read_text().splitlines():
            if line.startswith("Error"):
                self.seen[f"job said {line[:90]}"] += 1
        return {
            **self.count(),
            "stuck": stuck + self.seen.pop("slow", 0),
            "seen": dict(sorted(self.seen.items())),
        }

    # Programs
    # --------------------------------------------------------------------------------------------------------

    def keep(self, work: Callable[[], None]) -> None:
        while not self.over:
            work()
            time.sleep(0.2)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.work / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "--data", str(self.data), *arguments],
            env=self.env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.running[name] = process
        return process

    def serve(self) -> None:
        self.start("serve", "serve", "--port", str(self.port)).wait()

    def notebook(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", NOTEBOOK, str(self.data)], env=self.env, stdout=subprocess.PIPE
        )
        self.running["notebook"] = process
        assert process.stdout is not None
        for line in process.stdout:
            words = line.decode().split()
            if len(words) == 2:
                with self.mutex:
                    self.edits.add((words[0], words[1]))
        process.wait()

    def command_a(self) -> None:
        self.command("a")

    def command_b(self) -> None:
        self.command("b")

    def command(self, name: str) -> None:
        folder = self.folder(self.args.batch)
        for _ in range(100):
            started = time.monotonic()
            code = self.start(name, "index", "add", str(folder), "-c", "shop").wait()
            self.seen[f"command ended with {code}"] += 1
            self.took(f"command {name}, which ended with {code}", started)
            if code == 0:
                with self.mutex:
                    self.images.update(self.ids(folder))
                return

    def took(self, what: str, started: float) -> None:
        """Note what took so long that somebody must have waited for one who is gone; the log of a command has
        where it stood."""
        seconds = time.monotonic() - started
        if seconds > STUCK_S:
            self.seen["slow"] += 1
            self.seen[f"slow: {what}, {seconds:.0f} s"] += 1
            for log in self.work.glob("*.log"):
                print(f"== {log.name}", *log.read_text().splitlines()[-60:], sep="\n", file=sys.stderr)

    def upload(self) -> None:
        data = self.next_picture()
        started = time.monotonic()
        try:
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/v1/categories/shop/images",
                data=_form(data),
                headers={"Content-Type": "multipart/form-data; boundary=x"},
            )
            with urllib.request.urlopen(request, timeout=2 * STUCK_S) as answer:
                answer.read()
                taken = answer.status < 300
        except urllib.error.HTTPError as error:
            self.seen[f"upload answered {error.code}"] += 1
            taken = False
        except OSError:
            taken = False
        self.took("upload", started)
        if taken:
            self.seen["uploads"] += 1
            with self.mutex:
                self.images.add(point_id(content_hash(data)))

    def jobs(self) -> None:
        kind = self.rng.choice((("cluster-run", "category=shop", "name=look"), ("map-make", "category=shop")))
        code = self.start("job", "jobs", "start", *kind, "--wait").wait()
        self.seen[f"job ended with {code}"] += 1
        time.sleep(2.0)

    # Kills
    # --------------------------------------------------------------------------------------------------------

    def kill_one(self) -> None:
        """Kill one of all processes that have the data folder, programs and engine alike."""
        names = {process.pid: name for name, process in self.running.items() if process.poll() is None}
        for process in psutil.process_iter(["pid", "cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if str(self.data) in line and process.pid not in names and process.pid != os.getpid():
                names[process.pid] = "engine" if "edge.process" in line else "child"
        who = self.rng.choice(sorted(set(names.values())))
        pid = self.rng.choice([pid for pid, name in names.items() if name == who])
        self.seen[f"killed {who}"] += 1
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            self.seen["gone before it was killed"] += 1

    # Pictures, and what became of them
    # --------------------------------------------------------------------------------------------------------

    def next_picture(self) -> bytes:
        with self.mutex:
            self.number += 1
            return numbered(self.picture, self.number)

    def folder(self, pictures: int) -> Path:
        with self.mutex:
            self.number += 1
            folder = self.work / f"pictures-{self.number}"
        folder.mkdir()
        for number in range(pictures):
            (folder / f"{number}.jpg").write_bytes(self.next_picture())
        return folder

    def ids(self, folder: Path) -> set[str]:
        return {point_id(content_hash(path.read_bytes())) for path in folder.iterdir()}

    def count(self) -> dict[str, object]:
        from vitrine import open as open_library

        with open_library(self.data, encoder="colour", progress=False) as library:
            there = {hit.id: hit.payload for hit in library["shop"]}
            counted = len(library["shop"])
            objects = list(library.runtime.objects.list("shop/images/"))
        return {
            "acknowledged images": len(self.images),
            "acknowledged edits": len(self.edits),
            "images lost": len(self.images - there.keys()),
            "edits lost": sum(tag not in there.get(id, {}).get("tags", ()) for id, tag in self.edits),
            "doubled": counted - len({payload["sha256"] for payload in there.values()}),
            "points without object": len(
                {p["object_key"] for p in there.values()} - {o.key for o in objects}
            ),
        }


def _form(data: bytes) -> bytes:
    disposition = b'Content-Disposition: form-data; name="files"; filename="a.jpg"'
    head = b"--x\r\n" + disposition + b"\r\nContent-Type: image/jpeg\r\n\r\n"
    return head + data + b"\r\n--x--\r\n"


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    main()
