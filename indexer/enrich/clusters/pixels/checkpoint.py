"""The checkpoint of a clustering by pixels: one object, written whole, so that a kill costs only the work
since.

_clusters/<category>/pixels/<run>.npz holds arrays of numbers, and the rest as JSON; never a pickled object.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitrine.indexer.enrich.clusters.pixels.grouping import Leaders
from vitrine.services.errors import NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.keys import CLUSTERS

_FORMAT = 2
_ARRAYS = ("leaders", "began", "readable", "signatures", "similar", "seen", "kept", "known", "known_similar")


@dataclass
class State:
    """Everything that a run needs to continue.

    ``stage``: "batch", "check", "merge", "verify" or "done"; ``done``: its finished batches, of the round
    ``round``; ``quiet``: rounds in a row that merged nothing. ``leaders`` and ``readable`` (n,),
    ``signatures`` (n, 64); ``began``: the leaders at the start of the round; ``similar`` (m,): similarities
    of the pairs verified so far. ``seen`` and ``kept``: as in ``Pictures``. ``known`` (k, 2) and
    ``known_similar`` (k,): pairs of rows that were compared in batches that are not finished.
    ``comparisons``, ``reads`` and ``seconds`` add up over all calls.
    """

    leaders: Leaders
    readable: NDArray[np.bool_]
    signatures: NDArray[np.uint8]
    stage: str = "batch"
    done: int = 0
    round: int = 0
    quiet: int = 0
    comparisons: int = 0
    reads: int = 0
    seconds: float = 0.0
    sittings: int = 1
    began: Leaders = field(default_factory=lambda: np.empty(0, np.int32))
    similar: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    seen: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    kept: NDArray[Any] = field(default_factory=lambda: np.empty(0))
    known: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))
    known_similar: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


class Checkpoints:
    """The checkpoint of one run of one category, valid for one fingerprint."""

    def __init__(self, objects: ObjectStore, category: str, run: str) -> None:
        self._objects = objects
        self._key = f"{CLUSTERS}{category}/pixels/{run}.npz"

    def save(self, state: State, fingerprint: str) -> None:
        rest = {name: value for name, value in vars(state).items() if name not in _ARRAYS}
        text = np.frombuffer(
            json.dumps({"format": _FORMAT, "fingerprint": fingerprint, **rest}).encode(), np.uint8
        )
        buffer = io.BytesIO()
        np.savez_compressed(buffer, text=text, **{name: getattr(state, name) for name in _ARRAYS})
        self._objects.put(self._key, buffer.getvalue())

    def load(self, fingerprint: str) -> State | None:
        """Return the state; None if there is none, it is damaged, or it belongs to other images or
        parameters."""
        try:
            with np.load(io.BytesIO(self._objects.get(self._key)), allow_pickle=False) as arrays:
                rest = json.loads(arrays["text"].tobytes())
                if rest.pop("format") != _FORMAT or rest.pop("fingerprint") != fingerprint:
                    return None
                return State(**{name: arrays[name] for name in _ARRAYS}, **rest)
        except (NotFound, zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError):
            return None

    @property
    def exists(self) -> bool:
        return self._objects.stat(self._key) is not None

    def remove(self) -> None:
        self._objects.delete(self._key)


def fingerprint(parameters: Mapping[str, Any], ids: Sequence[str]) -> str:
    """Return a hash of what decides a result: the parameters, and the images in order."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode())
    for id in ids:
        digest.update(id.encode())
    return digest.hexdigest()
