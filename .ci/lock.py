"""Write the three locks: what the first install brings, what all extras bring, and what a CUDA build of torch
brings on top.

    python .ci/lock.py            # the newest versions that pyproject.toml takes
    python .ci/lock.py --keep     # the versions of today's locks, and new ones only for what is new

Nothing is installed: pip is asked what it would install, on Linux with this Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BASE, ALL, CUDA = (ROOT / f"requirements{part}.lock" for part in ("", "-all", "-cuda"))
Versions = dict[str, str]


def resolve(
    asked: Sequence[str], constraints: Versions, environment: Mapping[str, str] | None = None
) -> Versions:
    """Return the version of each package that pip would install, without local parts such as +cpu."""
    with tempfile.TemporaryDirectory() as folder:
        report, kept = Path(folder, "report.json"), Path(folder, "constraints.txt")
        kept.write_text("".join(f"{name}=={version}\n" for name, version in constraints.items()))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--constraint", str(kept), *asked]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {item["name"]: item["version"].partition("+")[0] for item in found if item["name"] != "vitrine"}


def read(lock: Path) -> Versions:
    """Return the version of each package in a lock; none where there is no such file."""
    lines = lock.read_text().splitlines() if lock.exists() else []
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name: version.strip() for name, version in pairs}


def write(lock: Path, versions: Versions, comment: str) -> None:
    lines = [f"{name}=={versions[name]}" for name in sorted(versions, key=str.lower)]
    lock.write_text("\n".join([f"# {comment} Made by `make lock`.", *lines, ""]))
    print(f"{lock.name}: {len(lines)} packages")


def without_settings() -> dict[str, str]:
    """Return the environment without pip's settings: what they name may have CPU builds of torch."""
    others = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    return kept | {"PIP_CONFIG_FILE": os.devnull}


def main() -> None:
    keep = "--keep" in sys.argv[1:]
    everything = resolve([".[dev]", "setuptools>=77"], read(BASE) | read(ALL) if keep else {})
    write(ALL, everything, "Everything: all extras and the tools of the tests.")
    first = resolve([".", "setuptools>=77"], everything)
    write(BASE, first, "The first install: all that is needed to index, search and serve.")
    with_cuda = resolve(
        [f"torch=={everything['torch']}"], everything | (read(CUDA) if keep else {}), without_settings()
    )
    brought = {name: version for name, version in with_cuda.items() if name not in everything}
    write(CUDA, brought, "What torch brings on Linux for NVIDIA GPUs, beside requirements-all.lock.")


main()
