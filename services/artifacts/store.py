"""Artifacts of a category (taggers, cluster runs, maps, groups of duplicates), each saved whole and put in
service by one write.

    _<kind>/<category>/current.json                       the keys in service, by name
    _<kind>/<category>/<key>/manifest.json                the artifact; written last
    _<kind>/<category>/<key>/<random>.safetensors         its arrays, where it has any

Pointers and manifests carry checksums, a manifest that of its arrays as well.

``look`` is answered from the key ``look-1`` while ``look-2`` is written, and the other way round. Killed at
any moment, a writer leaves the former or the new one in service, and keys that ``leftovers`` finds.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

import orjson

from vitrine.services.errors import BadRequest, Conflict, NotFound, StoreDamaged
from vitrine.services.object_store.base import ObjectStore, list_keys
from vitrine.services.object_store.damage import check_format, readable
from vitrine.services.object_store.edits import edit
from vitrine.services.object_store.known import Known
from vitrine.services.sealed import sealed, unsealed

if TYPE_CHECKING:  # most of what is read of an artifact is JSON
    from numpy.typing import NDArray

FORMAT = 3
"""Of pointers and manifests: raised whenever they hold something else."""
_UNSEALED = 2
"""The format of versions to 0.8, without checksums."""
_MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")

T = TypeVar("T")
Arrays: TypeAlias = "Mapping[str, NDArray[Any]]"


@dataclass(frozen=True)
class Entry:
    """What is in service under a name: the key of the artifact, and a ``revision`` that changes whenever the
    files under the key do.

    ``note``: what queries need to know of the artifact without reading it; plain JSON.
    """

    key: str
    revision: str
    note: Any = None


Entries = dict[str, Entry]


@dataclass(frozen=True)
class _Stored:
    """The file that holds the arrays of an artifact. ``sha256``: of its bytes; "" for one of version 0.8 or
    before."""

    file: str
    sha256: str = ""

    @classmethod
    def from_json(cls, tree: Any) -> _Stored | None:
        """Return what a manifest says of it: nothing, the name alone in those of version 0.8 and before, or
        both."""
        if tree is None:
            return None
        return cls(tree) if isinstance(tree, str) else cls(**tree)


class ArtifactStore(ABC, Generic[T]):
    """The artifacts of one kind, of all categories. A subclass says how ``T`` becomes JSON and arrays.

    Thread-safe. Processes that share the object store see each other's changes after a second. What queries
    ask for is read once, and is answered from memory while the object store is away.
    """

    prefix: ClassVar[str]
    """Where the objects lie: ``_<kind>/``."""
    noun: ClassVar[str]
    """What messages call an artifact, such as "cluster run"."""
    detail: ClassVar[str]
    """The key of its name in the details of errors."""
    remake: ClassVar[str]
    """What people do to get another one, such as "run the clustering again"."""

    def __init__(self, objects: ObjectStore, known: Known | None = None) -> None:
        self._objects = objects
        self._known = known or Known(objects)
        self._lock = threading.RLock()
        self._held: dict[tuple[str, str], tuple[str, T]] = {}

    @abstractmethod
    def _name(self, artifact: T) -> str:
        """Return the name of the artifact."""

    @abstractmethod
    def _keyed(self, artifact: T, key: str) -> T:
        """Return the artifact as it is saved under ``key``."""

    @abstractmethod
    def _encode(self, artifact: T) -> tuple[dict[str, Any], Arrays]:
        """Return the JSON and the arrays of the artifact."""

    @abstractmethod
    def _decode(self, tree: dict[str, Any], arrays: Arrays) -> T:
        """Return the artifact that ``_encode`` wrote. Damage may raise ``LookupError``, ``TypeError`` or
        ``ValueError``."""

    def _note(self, artifact: T) -> Any:
        """Return the ``note`` of the artifact's entry."""
        return None

    def _free_key(self, name: str, taken: set[str]) -> str:
        return free_key(name, taken)

    def check_name(self, name: str) -> None:
        """Raise ``BadRequest`` unless an artifact of this kind can have this name."""
        if not _NAME.fullmatch(name):
            raise BadRequest(
                f"{name!r} cannot name a {self.noun}: use 1 to 63 letters, digits, - and _, no - or _ first.",
                **{self.detail: name},
            )

    def entries(self, category: str) -> Mapping[str, Entry]:
        """Return what is in service, by name. Reads nothing else."""
        found = self._known.read(self._pointer(category), lambda data: self._entries(category, data))
        return found or {}

    def in_service(self, category: str) -> list[T]:
        """Return all artifacts in service, in order of name."""
        found = []
        for name in sorted(self.entries(category)):
            with suppress(NotFound):  # withdrawn meanwhile
                found.append(self.get(category, name))
        return found

    def get(self, category: str, name: str) -> T:
        """Return the artifact in service under a name. ``NotFound``, ``StoreDamaged``."""
        entry = self._entry(category, name)
        held = self._held.get((category, entry.key))
        if held is not None and held[0] == entry.revision:
            return held[1]
        try:
            artifact = self.read(category, entry.key)
        except (NotFound, StoreDamaged) as error:
            self._known.forget(self._pointer(category))
            if self._entry(category, name) != entry:
                return self.get(category, name)  # another process has replaced it
            if isinstance(error, NotFound):
                raise StoreDamaged(error.message, category=category, object=entry.key) from error
            raise
        self._hold(category, entry, artifact)
        return artifact

    def key_of(self, category: str, name: str) -> str:
        """Return the key in service of a name. ``NotFound``."""
        return self._entry(category, name).key

    def read(self, category: str, key: str) -> T:
        """Return the artifact that was saved under a key, in service or not. ``NotFound``,
        ``StoreDamaged``."""
        path = self._path(category, key)
        try:
            data = self._objects.get(path)
        except NotFound as error:
            raise NotFound(
                f"The object {path!r} of category {category!r} is missing. {self._advice}", category=category
            ) from error
        return self._read(category, key, data)[0]

    def save(self, category: str, artifact: T) -> T:
        """Store an artifact under a key of its own, and return it as saved; no query sees it yet.

        ``BadRequest`` if it cannot have its name.
        """
        name = self._name(artifact)
        self.check_name(name)
        with self._lock:
            taken = self._taken(category, name)
            while True:
                key = self._free_key(name, taken)
                saved = self._keyed(artifact, key)
                tree, arrays = self._encode(saved)
                with suppress(Conflict):  # of another process that took the key at the same moment
                    stored = self._put_arrays(category, key, arrays)
                    self._objects.replace(self._path(category, key), _manifest(tree, stored), None)
                    return saved
                taken.add(key)

    def put_in_service(self, category: str, key: str) -> None:
        """Put what was saved under ``key`` in service under its name, in one write. ``NotFound``."""
        artifact = self.read(category, key)
        entry = Entry(key, new_revision(), self._note(artifact))
        self.change(category, lambda present: {**present, name_of(key): entry})
        self._hold(category, entry, artifact)

    def update(self, category: str, key: str, change: Callable[[T], T]) -> T:
        """Change the artifact in service under ``key``, all but its arrays; return it as it is then.

        ``change`` may run several times. ``NotFound`` if it was replaced meanwhile.
        """
        name, revision, latest = name_of(key), new_revision(), list[T]()
        replaced = NotFound(
            f"The {self.noun} {name!r} was replaced meanwhile: look at what is there now, and try again.",
            category=category,
            key=key,
        )

        def changed(data: bytes | None) -> bytes:
            if data is None or self.key_of(category, name) != key:
                raise replaced
            artifact, arrays = self._read(category, key, data)
            latest.append(change(artifact))
            return _manifest(self._encode(latest[-1])[0], arrays)

        def revised(present: Entries) -> Entries:
            if name not in present or present[name].key != key:
                raise replaced
            return {**present, name: replace(present[name], revision=revision)}

        with self._lock:
            edit(self._objects, self._path(category, key), changed)
            self.change(category, revised)
            self._hold(category, Entry(key, revision), latest[-1])
            return latest[-1]

    def withdraw(self, category: str, name: str) -> None:
        """Take a name out of service; the files stay until ``remove``. ``NotFound``."""

        def without(present: Entries) -> Entries:
            if name not in present:
                raise self._unknown(category, name, present)
            return {other: entry for other, entry in present.items() if other != name}

        self.change(category, without)

    def keys(self, category: str, name: str) -> set[str]:
        """Return the keys of a name that have objects."""
        folder = f"{self.prefix}{category}/"
        found = {key[len(folder) :].partition("/")[0] for key in list_keys(self._objects, f"{folder}{name}-")}
        return {key for key in found if name_of(key) == name}

    def written(self, category: str, name: str) -> dict[str, datetime]:
        """Return the keys of a name that were saved completely, and when."""
        folder = f"{self.prefix}{category}/"
        found = {}
        for stat in self._objects.list(f"{folder}{name}-"):
            key, _, file = stat.key[len(folder) :].partition("/")
            if file == _MANIFEST and name_of(key) == name:
                found[key] = stat.modified
        return found

    def leftovers(self, category: str, name: str) -> list[str]:
        """Return the keys of a name that are stored but not in service: of what was replaced, withdrawn or
        killed."""
        return sorted(self.keys(category, name) - {self._key_now(category, name)})

    def remove(self, category: str, key: str) -> None:
        """Remove the files of a key that is not in service, the manifest first."""
        path = self._path(category, key)
        stored = list_keys(self._objects, path.removesuffix(_MANIFEST))
        for object_key in sorted(stored, key=lambda each: each != path):
            self._objects.delete(object_key)
        self._held.pop((category, key), None)

    def forget(self, category: str) -> None:
        """Remember nothing of a category that was deleted."""
        self._known.forget_all(f"{self.prefix}{category}/")
        for held in [held for held in list(self._held) if held[0] == category]:
            self._held.pop(held, None)

    def change(self, category: str, change: Callable[[Entries], Entries]) -> None:
        """Write what ``change`` makes of the entries; it may run several times."""

        def changed(data: bytes | None) -> bytes:
            entries = change({} if data is None else self._entries(category, data))
            in_service = {name: asdict(entries[name]) for name in sorted(entries)}
            return orjson.dumps(sealed({"format": FORMAT, "in_service": in_service}))

        with self._lock:
            pointer = self._pointer(category)
            self._known.put(pointer, edit(self._objects, pointer, changed))

    def _entry(self, category: str, name: str) -> Entry:
        entries = self.entries(category)
        if name not in entries:
            raise self._unknown(category, name, entries)
        return entries[name]

    def _unknown(self, category: str, name: str, entries: Mapping[str, Entry]) -> NotFound:
        there = ", ".join(sorted(entries)) or "none"
        return NotFound(
            f"Category {category!r} has no {self.noun} {name!r}; it has: {there}.",
            category=category,
            **{self.detail: name},
        )

    def _hold(self, category: str, entry: Entry, artifact: T) -> None:
        serving = {one.key for one in self.entries(category).values()}
        for held in [held for held in list(self._held) if held[0] == category and held[1] not in serving]:
            self._held.pop(held, None)
        self._held[category, entry.key] = entry.revision, artifact

    def _taken(self, category: str, name: str) -> set[str]:
        return self.keys(category, name) | {self._key_now(category, name)}

    def _key_now(self, category: str, name: str) -> str:
        """Return the key in service as the object store has it now; "" if there is none."""
        try:
            entries = self._entries(category, self._objects.get(self._pointer(category)))
        except NotFound:
            return ""
        return entries[name].key if name in entries else ""

    def _entries(self, category: str, data: bytes) -> Entries:
        tree = self._tree(category, self._pointer(category), data)
        with readable(category, self._pointer(category), self._advice):
            return {name: Entry(**entry) for name, entry in tree["in_service"].items()}

    def _read(self, category: str, key: str, data: bytes) -> tuple[T, _Stored | None]:
        """Return the artifact of a manifest, and which file has its arrays."""
        path = self._path(category, key)
        tree = self._tree(category, path, data)
        with readable(category, path, self._advice):
            stored = _Stored.from_json(tree.pop("arrays"))
            return self._decode(tree, self._get_arrays(category, key, stored)), stored

    def _get_arrays(self, category: str, key: str, stored: _Stored | None) -> Arrays:
        if stored is None:
            return {}
        from safetensors.numpy import load

        data = self._objects.get(self._path(category, key, stored.file))
        if stored.sha256 and hashlib.sha256(data).hexdigest() != stored.sha256:
            raise ValueError("the arrays are not those that were written")
        arrays: Arrays = load(data)
        return arrays

    def _put_arrays(self, category: str, key: str, arrays: Arrays) -> _Stored | None:
        if not arrays:
            return None
        import numpy as np
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        stored = _Stored(f"{new_revision()}.safetensors", hashlib.sha256(data).hexdigest())
        self._objects.put(self._path(category, key, stored.file), data)
        return stored

    def _tree(self, category: str, key: str, data: bytes) -> dict[str, Any]:
        """Return the JSON object that is stored under a key, without its format. ``StoreDamaged``."""
        with readable(category, key, self._advice):
            tree = orjson.loads(data)
            tree = unsealed(tree, optional=tree["format"] <= _UNSEALED)
            found = tree.pop("format")
        advice = f"Remove the objects below `{self.prefix}{category}/` and {self.remake}."
        what = f"The object {key!r} of category {category!r}"
        check_format(found, FORMAT, what, advice, oldest=_UNSEALED, category=category, object=key)
        return tree

    @property
    def _advice(self) -> str:
        return (
            f"Restore it from a backup, or remove the objects below `{self.prefix}` of that category and "
            f"{self.remake}."
        )

    def _pointer(self, category: str) -> str:
        return f"{self.prefix}{category}/current.json"

    def _path(self, category: str, key: str, file: str = _MANIFEST) -> str:
        return f"{self.prefix}{category}/{key}/{file}"


def name_of(key: str) -> str:
    """Return the name that a key belongs to.

    >>> name_of("look-2"), name_of("look-2-1")
    ('look', 'look-2')
    """
    return key.rpartition("-")[0]


def number_of(key: str) -> int:
    """Return the number of a key.

    >>> number_of("look-2")
    2
    """
    return int(key.rpartition("-")[2])


def free_key(name: str, taken: set[str]) -> str:
    """Return the key of the lowest number that is not ``taken``: an index of the payload stays for good, and
    so there are two of each name at most.

    >>> free_key("look", {"look-1"}), free_key("look", {"look-2"})
    ('look-2', 'look-1')
    """
    return next(key for number in range(1, len(taken) + 2) if (key := f"{name}-{number}") not in taken)


def _manifest(tree: Mapping[str, Any], arrays: _Stored | None) -> bytes:
    stored = None if arrays is None else asdict(arrays)
    return orjson.dumps(sealed({"format": FORMAT, "arrays": stored, **tree}))


def now() -> str:
    """Return the time, RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def new_revision() -> str:
    """Return a revision that no entry had before."""
    return secrets.token_hex(8)
