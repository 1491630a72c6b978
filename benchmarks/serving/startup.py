"""How long cold commands take, what they hold in memory, and which packages their imports cost.

    python -m benchmarks.serving.startup --data demo-data [--rounds 5] [--json FILE]
                                         [--against ../other-checkout [--against-data other-data]]

``--data`` is a data folder with the category ``demo`` (``vitrine --data demo-data demo``). Each command is
run in a fresh process, all of them in turn and the rounds after each other; with ``--against`` this tree and
the other one alternate, each on a folder that it filled itself where ``--against-data`` is given. Printed are
medians: seconds on the clock, seconds of processor (the engine's process included), and the most resident
memory of command and engine together. Files are in the system's cache from the second round on, and compiled
modules in a folder for temporary files, as an installed package has them, whatever PYTHONDONTWRITEBYTECODE
says. A machine that does other work shows in the clock, hardly in the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
RUN = "import sys; sys.argv[0] = 'vitrine'; from vitrine.cli.main import main; main()"
SAMPLE_SECONDS = 0.005
PACKAGES = 12
"""Packages that are printed of each command; the others are added up."""
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True)
class Measured:
    """One run. ``processor``: seconds of user and system time of all its processes; ``memory``: the most MB
    that they held at one moment."""

    seconds: float
    processor: float
    memory: float


def commands(image: str) -> dict[str, list[str]]:
    """Return what is run, by its name; each is an argument list of Python."""
    typed = {
        "--help": ["--help"],
        "category list": ["category", "list"],
        "category show": ["category", "show", "demo"],
        "images list --tag": ["images", "list", "-c", "demo", "--tag", "red"],
        "images show": ["images", "show", "-c", "demo", image],
        "search --id": ["search", "-c", "demo", "--id", image],
        "search --text": ["search", "-c", "demo", "--text", "a red fish"],
    }
    return {
        "import vitrine": ["-c", "import vitrine"],
        **{name: ["-c", RUN, *arguments] for name, arguments in typed.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder with the category demo")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turns with this one")
    parser.add_argument("--against-data", type=Path, help="data folder of the other one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", help="a command by its name (--only=--help); again: more")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    args = parser.parse_args()
    trees = {"this": (ROOT, args.data)}
    if args.against:
        trees["other"] = args.against.resolve(), args.against_data or args.data
    given = commands(first_image(args.data))
    chosen = {name: given[name] for name in args.only or given}

    runs: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for _ in range(args.rounds):
        for name, arguments in chosen.items():
            for tree, (folder, data) in trees.items():
                runs[name, tree].append(measure(arguments, environment(folder, data)))
    medians = {key: median(found) for key, found in runs.items()}
    imports = {
        name: packages(arguments, environment(ROOT, args.data), args.rounds)
        for name, arguments in chosen.items()
    }
    print(f"{'command':<20}{'tree':<8}{'s':>8}{'processor s':>14}{'MB':>8}")
    for (name, tree), one in medians.items():
        print(f"{name:<20}{tree:<8}{one.seconds:>8.2f}{one.processor:>14.2f}{one.memory:>8.0f}")
    for name, found in imports.items():
        print_packages(name, found)
    if args.json:
        figures = [{"command": name, "tree": tree, **asdict(one)} for (name, tree), one in medians.items()]
        args.json.write_text(json.dumps({"runs": figures, "import_ms": imports}, indent=2) + "\n")


def environment(tree: Path, data: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {
        **kept,
        "PYTHONPATH": str(tree),
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "vitrine-startup-modules"),
        "VITRINE_DATA": str(data.resolve()),
        "VITRINE_OFFLINE": "1",
    }


def first_image(data: Path) -> str:
    """Return the id of an image of the demo."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, "images", "list", "-c", "demo", "--limit", "1", "--json"],
        env=environment(ROOT, data), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: str = json.loads(done.stdout)["hits"][0]["id"]
    return found


def measure(arguments: list[str], env: dict[str, str]) -> Measured:
    """Run Python once, and watch its processes."""
    most = 0.0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", *arguments], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        root = psutil.Process(process.pid)
        while not ended.wait(SAMPLE_SECONDS):
            most = max(most, _resident(root))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, errors = process.communicate()
    seconds = time.perf_counter() - start
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}:\n{errors.decode()}")
    # what a process has waited for counts as its own: the command waits for its engine
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, used, most)


def _resident(root: psutil.Process) -> float:
    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:  # it has just ended
        pass
    return total / 1e6


def median(runs: list[Measured]) -> Measured:
    return Measured(
        *(
            statistics.median(getattr(run, name) for run in runs)
            for name in ("seconds", "processor", "memory")
        )
    )


def packages(arguments: list[str], env: dict[str, str], rounds: int) -> dict[str, float]:
    """Return the milliseconds that the imports of each package take of the command's process, without what
    they import in turn: of each module the least of the rounds. Ours by floor."""
    least: dict[str, int] = {}
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-P", "-X", "importtime", *arguments], env=env, capture_output=True, text=True
        )
        for took, module in _IMPORT.findall(done.stderr):
            least[module] = min(int(took), least.get(module, int(took)))
    by_package: dict[str, float] = defaultdict(float)
    for module, took in least.items():
        parts = module.split(".")
        by_package[".".join(parts[:2]) if parts[0] == "vitrine" else parts[0]] += took / 1000
    return dict(sorted(by_package.items(), key=lambda item: -item[1]))


def print_packages(name: str, found: dict[str, Any]) -> None:
    rest = list(found.values())[PACKAGES:]
    shown = {**dict(list(found.items())[:PACKAGES]), f"{len(rest)} others": sum(rest)}
    print(f"\n{name}: {sum(found.values()):.0f} ms of imports")
    for package, took in shown.items():
        print(f"  {package:<32}{took:>8.1f}")


if __name__ == "__main__":
    main()
