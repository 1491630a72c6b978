"""Index a copy of a shard, in a process of its own.

``python -m vitrine.services.vector_store.edge.indexing.optimize PARENT SOURCE TARGET POINTS SCHEMA``

Indexing in the engine process would freeze it for as long as it takes. This one runs at the lowest priority,
reports to its parent on stdout how far it is (``copied``; then ``done``, or ``unchanged`` if there was
nothing to index), and dies with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import orjson

from vitrine.services.domain import CollectionSchema
from vitrine.services.vector_store.edge.files import schema_from_plain, sync_tree
from vitrine.services.vector_store.edge.indexing.parts import build_index, copy_shard

_PR_SET_PDEATHSIG = 1


def main(parent: int, source: Path, target: Path, points: int, schema: CollectionSchema) -> None:
    """Index the copy, which has so many points. The target is flushed before ``done`` is printed. Any failure
    ends the process with a traceback on stderr."""
    _follow_parent(parent)
    os.nice(10)
    copy_shard(source, target)
    print("copied", flush=True)
    changed = build_index(target, schema, points)
    if changed:
        sync_tree(target)
    print("done" if changed else "unchanged", flush=True)


def _follow_parent(parent: int) -> None:
    """Ask the kernel to kill this process with its parent: an orphan would go on writing, and hold the data
    folder's lock."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the engine process has ended")


if __name__ == "__main__":
    parent, source, target, points, schema = sys.argv[1:]
    main(int(parent), Path(source), Path(target), int(points), schema_from_plain(orjson.loads(schema)))
