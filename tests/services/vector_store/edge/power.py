"""Power cuts: what a disk may hold when the last sync was the log's."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

PAGE = 4096


def after_power_cut(flushed: Path, now: Path, target: Path, rng: random.Random) -> None:
    """Make ``target`` what a disk may hold where ``flushed`` was synced as a whole and ``now`` is what
    programs saw when the power failed: the log as it is now, and of every other file of the shards any of its
    pages old or new. What lies beside the shards was synced with each change."""
    shutil.copytree(now, target, ignore=shutil.ignore_patterns("engine.sock"))
    for path in sorted(target.rglob("*")):
        if not path.is_file() or not _is_lazy(path):
            continue
        before = flushed / path.relative_to(target)
        fate = rng.choice(("old", "new", "mixed"))
        if not before.exists():
            if fate == "old":
                path.unlink()
            elif fate == "mixed":  # its name was written, its content was not
                path.write_bytes(bytes(path.stat().st_size))
        elif fate == "old":
            shutil.copyfile(before, path)
        elif fate == "mixed":
            path.write_bytes(_mixed(before.read_bytes(), path.read_bytes(), rng))
    for path in flushed.rglob("*"):  # what was removed since may be there again
        again = target / path.relative_to(flushed)
        missing = path.is_file() and _is_lazy(path) and not again.exists() and again.parent.is_dir()
        if missing and rng.random() < 0.5:
            shutil.copyfile(path, again)


def _is_lazy(path: Path) -> bool:
    """Return whether a file is written behind: those of a shard, but for its log."""
    return path.parent.name != "wal" and any(part.startswith("gen-") for part in path.parts)


def _mixed(old: bytes, new: bytes, rng: random.Random) -> bytes:
    if len(old) != len(new):  # a file is as long as it was or as it is: lengths are written as a whole
        return rng.choice((old, new))
    pages = range(0, len(new), PAGE)
    return b"".join(rng.choice((old, new))[at : at + PAGE] for at in pages)
