"""Cluster runs: a category's images in clusters or in a tree of them, and where the runs are kept.

A run has a name, such as ``look``, and is stored on the images under a key, such as ``look-1``; the next run
of that name gets another key. Which key answers for a name is one small object, written last: a half-written
run is never seen.

    _clusters/<category>/current.json               the key in service of each run
    _clusters/<category>/<key>.{safetensors,json}   centres of the nodes, and all else
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from vitrine.services.artifacts.store import check_key_name, free_key, name_of, stored_keys
from vitrine.services.domain import Embeddings, Payload
from vitrine.services.errors import BadRequest, NotFound
from vitrine.services.object_store.base import ObjectStore
from vitrine.services.object_store.damage import readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.keys import CLUSTERS
from vitrine.services.object_store.known import Known
from vitrine.services.values.field_paths import field_path

if TYPE_CHECKING:
    from vitrine.services.category.filters import Conditions

ROOT = "root"
NOISE = f"{ROOT}-noise"
"""The node of what a density-based method puts into no cluster."""
_CENTRES = "centres"
_TOLD = 5
"""Children that an error names."""
_NO_RADIUS = -1.0
"""What a manifest says for None."""
_CHUNK = 4_096
_ADVICE = (
    "Restore it from a backup, or remove the objects below `_clusters/` of that category and run the "
    "clustering again."
)


class Branch(Protocol):
    """What leads down a tree."""

    @property
    def children(self) -> tuple[str, ...]: ...

    @property
    def radius(self) -> float | None: ...


@dataclass(frozen=True)
class Node:
    """A cluster, or a branch of a tree. ``id`` tells the way to it from the top: ``root``, ``root-14``,
    ``root-14-3``.

    ``count``: images when the run was made. ``radius``: least cosine similarity of one of these to the mean
    of all of them, so that 1 minus it is the largest distance; None for noise, which has none. ``medoid``:
    the image that is most similar to all others, on average; None in a view of a node of which no
    representative is left. ``representatives``: a few image ids, the medoid first. ``named_by``: where the
    name comes from, "tags", "words" of a list, or the "file" that it was imported from.
    """

    id: str
    parent: str | None
    depth: int
    count: int
    medoid: str | None
    representatives: tuple[str, ...]
    radius: float | None
    name: str = ""
    children: tuple[str, ...] = ()
    named_by: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Ids from the root down to this node."""
        return path_of(self.id)


@dataclass(frozen=True, eq=False)
class ClusterRun:
    """One clustering. ``centres`` (nodes, dim) are the means that decide, row i that of the i-th node; of
    noise it is zero.

    ``nodes``: parents before children. ``using``: the named vector; its encoder had ``encoder_revision``.
    ``images``: how many were clustered. ``created_at`` is RFC 3339 in UTC, as is ``named_at``, when nodes
    last got other names, if they ever did.
    """

    run: str
    method: str
    using: str
    encoder_revision: str
    nodes: Mapping[str, Node]
    centres: Embeddings
    images: int
    seed: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    created_at: str = ""
    named_at: str = ""

    @property
    def written_at(self) -> str:
        """When its files last changed: nothing else tells two runs of a key apart."""
        return self.named_at or self.created_at

    @property
    def payload_field(self) -> str:
        """The payload field of the paths, which queries filter."""
        return path_field(self.key)

    def node(self, id: str) -> Node:
        """``NotFound``."""
        if id not in self.nodes:
            children = self.nodes[ROOT].children
            first = ", ".join(children[:_TOLD]) or "nothing else"
            first += f" and {len(children) - _TOLD} more" if len(children) > _TOLD else ""
            raise NotFound(
                f"Run {self.run!r} has no node {id!r}: begin at {ROOT}, which has {first}.",
                run=self.run,
                node=id,
            )
        return self.nodes[id]

    @property
    def leaves(self) -> list[Node]:
        return [node for node in self.nodes.values() if not node.children]

    @property
    def depth(self) -> int:
        return max(node.depth for node in self.nodes.values())


@dataclass(frozen=True)
class _Current:
    """The key in service of each run, and when the run's files were written."""

    runs: Mapping[str, str]
    written: Mapping[str, str]

    def with_run(self, run: ClusterRun) -> _Current:
        return _Current({**self.runs, run.run: run.key}, {**self.written, run.run: run.written_at})

    def without(self, run: str) -> _Current:
        runs, written = (
            {name: value for name, value in kept.items() if name != run} for kept in (self.runs, self.written)
        )
        return _Current(runs, written)


class ClusterStore:
    """The cluster runs of all categories. Thread-safe; processes that share the object store see each other's
    changes."""

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._objects = objects
        self._known = known or Known(objects)
        self._lock = threading.RLock()
        self._runs: dict[tuple[str, str], ClusterRun] = {}

    def in_service(self, category: str) -> list[ClusterRun]:
        """The runs that answer queries, by name."""
        current = self._current(category)
        return [self._load(category, current[run]) for run in sorted(current)]

    def get(self, category: str, run: str) -> ClusterRun:
        """``NotFound`` if the category has no such run."""
        current = self._current(category)
        if run not in current:
            known = ", ".join(sorted(current)) or "none"
            raise NotFound(
                f"Category {category!r} has no cluster run {run!r}; it has: {known}.",
                category=category,
                run=run,
            )
        return self._load(category, current[run])

    def resolve(self, category: str, conditions: Conditions) -> Conditions:
        """The same conditions with keys in service in place of run names. ``NotFound`` for an unknown run or
        node."""
        if not conditions.clusters:
            return conditions
        runs = {name: self.get(category, name) for name in conditions.clusters}
        keys = {runs[name].key: runs[name].node(id).id for name, id in conditions.clusters.items()}
        return conditions.model_copy(update={"clusters": keys})

    def save(self, category: str, run: ClusterRun) -> ClusterRun:
        """Store a run's files under a key of its own; no query sees it yet. The run as saved. ``BadRequest``
        for a bad name."""
        from safetensors.numpy import save

        check_run_name(run.run)
        with self._lock:
            serving = self._read(category).runs.get(run.run, "")
            taken = {*stored_keys(self._objects, f"{CLUSTERS}{category}/", run.run), serving}
            fields = {
                name: value
                for name, value in vars(run).items()
                if name not in ("key", "created_at", "named_at")
            }
            saved = ClusterRun(key=free_key(run.run, taken), created_at=_now(), **fields)
            centres = np.ascontiguousarray(saved.centres, np.float32)
            self._put_manifest(category, saved)
            self._objects.put(_key(category, f"{saved.key}.safetensors"), save({_CENTRES: centres}))
            self._runs.pop((category, saved.key), None)
            return saved

    def rename(
        self, category: str, run: ClusterRun, nodes: Mapping[str, Node], parameters: Mapping[str, Any]
    ) -> ClusterRun:
        """Give the nodes of a run in service other names, and its parameters other values, in one write; the
        run as it is then.

        ``NotFound`` if the run was replaced meanwhile: nothing has changed.
        """
        named = replace(run, nodes=dict(nodes), parameters=dict(parameters), named_at=_now())

        def rename(current: _Current) -> _Current:
            if current.runs.get(run.run) != run.key or current.written.get(run.run) != run.written_at:
                raise NotFound(
                    f"The cluster run {run.run!r} was replaced meanwhile: name its nodes again.", run=run.run
                )
            return current.with_run(named)

        with self._lock:
            rename(self._read(category))
            self._put_manifest(category, named)
            self._runs.pop((category, run.key), None)
            self._change(category, rename)  # so that others read it again
            return named

    def put_in_service(self, category: str, key: str) -> str | None:
        """Let the run that was saved under ``key`` answer for its name from now on, in one write; the key it
        replaces, if any."""
        with self._lock:
            run = name_of(key)
            if self._objects.stat(_key(category, f"{key}.safetensors")) is None:
                raise NotFound(
                    f"There is no saved cluster run {key!r}: run the clustering again.",
                    category=category,
                    key=key,
                )
            saved, former = self._load(category, key), self._read(category).runs.get(run)
            self._change(category, lambda current: current.with_run(saved))
            return None if former == key else former

    def withdraw(self, category: str, run: str) -> None:
        """Let nothing answer for the name any more; its files stay until ``remove``. ``NotFound``."""
        with self._lock:
            self._known.forget(_key(category, "current.json"))
            self.get(category, run)
            self._change(category, lambda current: current.without(run))

    def delete(self, category: str, run: str) -> None:
        """Withdraw a run and remove its files. ``NotFound``. What its images say of it is the caller's to
        remove, before."""
        with self._lock:
            key = self.get(category, run).key
            self.withdraw(category, run)
            self.remove(category, key)

    def leftovers(self, category: str, run: str) -> list[str]:
        """Keys of a name that are stored but not in service: those of runs that were replaced, deleted or
        killed."""
        serving = self._read(category).runs.get(run, "")
        return sorted(stored_keys(self._objects, f"{CLUSTERS}{category}/", run) - {serving})

    def remove(self, category: str, key: str) -> None:
        """Remove the files of a key that is not in service."""
        for ending in (".safetensors", ".json"):
            self._objects.delete(_key(category, key + ending))
        self._runs.pop((category, key), None)

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._known.forget(_key(category, "current.json"))
        for held in [held for held in list(self._runs) if held[0] == category]:
            self._runs.pop(held, None)

    def assign(self, run: ClusterRun, embeddings: Embeddings) -> list[tuple[str, ...]]:
        """The path of each row of ``embeddings`` (n, dim): what its payload is to say."""
        paths = {id: path_of(id) for id in run.nodes}
        return [paths[id] for id in assign_leaves(run.nodes, run.centres, embeddings)]

    def _current(self, category: str) -> dict[str, str]:
        key = _key(category, "current.json")
        current = self._known.read(key, lambda data: _parsed(category, data)) or _Current({}, {})
        self._forget_rewritten(category, current)
        return dict(current.runs)

    def _read(self, category: str) -> _Current:
        """As the store has it now."""
        try:
            current = _parsed(category, self._objects.get(_key(category, "current.json")))
        except NotFound:
            current = _Current({}, {})
        self._forget_rewritten(category, current)
        return current

    def _forget_rewritten(self, category: str, current: _Current) -> None:
        """A key may be used again, by another process too."""
        for run, key in current.runs.items():
            held = self._runs.get((category, key))
            if held is not None and held.written_at != current.written[run]:
                self._runs.pop((category, key), None)

    def _change(self, category: str, change: Callable[[_Current], _Current]) -> None:
        def changed(data: bytes | None) -> bytes:
            current = change(_Current({}, {}) if data is None else _parsed(category, data))
            return orjson.dumps({"format": 1, "runs": dict(current.runs), "written": dict(current.written)})

        key = _key(category, "current.json")
        self._known.put(key, edit(self._objects, key, changed))

    def _load(self, category: str, key: str) -> ClusterRun:
        held = self._runs.get((category, key))
        if held is None:
            from safetensors.numpy import load

            with readable(category, _key(category, key), _ADVICE):
                tree = orjson.loads(self._objects.get(_key(category, f"{key}.json")))
                if tree.pop("format") != 1:
                    raise BadRequest(
                        f"The cluster run {key!r} was written by a newer Vitrine: update this one."
                    )
                centres = load(self._objects.get(_key(category, f"{key}.safetensors")))[_CENTRES]
                held = ClusterRun(
                    centres=centres, nodes={node["id"]: _node(node) for node in tree.pop("nodes")}, **tree
                )
            self._runs[category, key] = held
        return held

    def _put_manifest(self, category: str, run: ClusterRun) -> None:
        tree = {name: value for name, value in vars(run).items() if name not in ("nodes", _CENTRES)}
        nodes = [
            asdict(node) | ({"radius": _NO_RADIUS} if node.radius is None else {})
            for node in run.nodes.values()
        ]
        self._put(category, f"{run.key}.json", {"format": 1, **tree, "nodes": nodes})

    def _put(self, category: str, name: str, tree: Mapping[str, Any]) -> None:
        data = orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY)
        self._objects.put(_key(category, name), data, media_type="application/json")


def _parsed(category: str, data: bytes) -> _Current:
    with readable(category, _key(category, "current.json"), _ADVICE):
        tree = orjson.loads(data)
        return _Current(dict(tree["runs"]), {run: tree["written"][run] for run in tree["runs"]})


def assign_leaves(nodes: Mapping[str, Branch], centres: Embeddings, x: Embeddings) -> list[str]:
    """The leaf of each row of ``x`` (n, dim): down from the root, each time to the child of the nearest
    centre, as in training.

    A row that is farther from the centre of its leaf than any member goes to noise, if the run has a node of
    that.
    """
    row_of = {id: row for row, id in enumerate(nodes)}
    found = np.zeros(len(x), np.int64)
    level = [(ROOT, np.arange(len(x)))]
    while level:
        id, rows = level.pop()
        children = [child for child in nodes[id].children if child != NOISE]
        found[rows] = row_of[id]
        if not children or not len(rows):
            continue
        nearest = _nearest(x, rows, centres[[row_of[child] for child in children]])
        level += [(child, rows[nearest == number]) for number, child in enumerate(children)]
    if NOISE in nodes:
        radii = np.array(
            [_NO_RADIUS if node.radius is None else node.radius for node in nodes.values()], np.float32
        )
        lengths = np.linalg.norm(centres, axis=1)
        lengths[lengths == 0] = 1
        similar = np.einsum("ij,ij->i", x, centres[found]) / lengths[found]
        found[similar < radii[found] - 1e-5] = row_of[NOISE]
    ids = list(nodes)
    return [ids[row] for row in found.tolist()]


def _nearest(x: Embeddings, rows: NDArray[np.int64], centres: Embeddings) -> NDArray[np.int64]:
    """Number of the centre with the least Euclidean distance, ties to the lower."""
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    nearest = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _CHUNK):
        nearest[start : start + _CHUNK] = (x[rows[start : start + _CHUNK]] @ centres.T - half).argmax(axis=1)
    return nearest


def path_of(id: str) -> tuple[str, ...]:
    """Ids from the root down to a node.

    >>> path_of("root-14-3")
    ('root', 'root-14', 'root-14-3')
    """
    parts = id.split("-")
    return tuple("-".join(parts[:end]) for end in range(1, len(parts) + 1))


def membership(path: Iterable[str]) -> Payload:
    """What the payload says under ``clusters.<key>``: the path, and by ``id`` which child of the root it is.

    >>> membership(("root", "root-14", "root-14-3"))
    {'id': '14', 'path': ['root', 'root-14', 'root-14-3']}
    """
    nodes = list(path)
    return {"id": nodes[1].removeprefix(f"{ROOT}-") if len(nodes) > 1 else ROOT, "path": nodes}


def leaf_of(payload: Mapping[str, Any], key: str) -> str:
    """The leaf that a payload says under a key; "" if it says none."""
    path = payload.get("clusters", {}).get(key, {}).get("path", ())
    return str(path[-1]) if path else ""


def path_field(key: str) -> str:
    """The payload field of the paths under a key."""
    return field_path("clusters", key, "path")


def check_run_name(run: str) -> None:
    """``BadRequest`` unless ``run`` can name a cluster run."""
    check_key_name(run, "a cluster run", "run")


def _node(tree: dict[str, Any]) -> Node:
    node = Node(**tree | {name: tuple(tree[name]) for name in ("representatives", "children")})
    return replace(node, radius=None, name="", named_by="") if node.id == NOISE else node


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _key(category: str, name: str) -> str:
    return f"{CLUSTERS}{category}/{name}"
