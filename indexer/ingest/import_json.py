"""Read what older systems wrote as JSON: files of entries, and trees of clusters with the images in them.

A tree is an object with ``children`` (or ``clusters``, ``nodes``, ``subclusters``) and ``images`` (or
``paths``, ``files``, ``members``, ``items``, ...); children may be a list or an object by name, and a list of
names in their place are images. An image is a path or name, or an object with one under ``path``,
``file_path``, ``file_name``, ``file``, ``filename``, ``image`` or ``name``. A node's name is its ``name``,
``label``, ``title`` or ``id``. Anything else in a node is passed over.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vitrine.indexer.enrich.clusters.runs import Fit, Fitted, Images
from vitrine.indexer.enrich.clusters.tree.tree import given_tree
from vitrine.indexer.job.job import Advance
from vitrine.indexer.sources.base import has_image_extension, modified, read_file, shown_name
from vitrine.indexer.sources.records import ImageRecord, Source
from vitrine.services.errors import BadSource
from vitrine.services.images.open import content_hash, point_id
from vitrine.services.images.walking import walk

CHILDREN = ("children", "clusters", "nodes", "subclusters", "sub_clusters")
IMAGES = ("images", "paths", "files", "image_paths", "members", "filenames", "file_names", "items")
NAMES = ("name", "label", "title", "id", "cluster_id")
PICTURE = ("path", "file_path", "image_path", "file_name", "filename", "file", "image", "name")
MAX_TREE_BYTES = 512 << 20
MAX_LEVELS = 32
"""Deeper ones become one leaf."""
METHOD = "imported"
Path_ = tuple[int, ...]
"""The way to a node: the number of a child at each level."""


def json_files(path: Path) -> list[Path]:
    """Return the file itself, or the JSON files in a folder and below, by name. Raises ``BadSource`` if there
    are none."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BadSource(f"There is no file or folder {path}.")
    found = sorted(file for file in path.rglob("*.json") if file.is_file())
    if not found:
        raise BadSource(f"The folder {path} holds no JSON files.")
    return found


def is_node(value: Any) -> bool:
    """Return whether a JSON value is a node of a tree of clusters."""
    return isinstance(value, dict) and any(
        isinstance(value.get(key), list | dict) for key in (*CHILDREN, *IMAGES)
    )


def read_tree_file(path: Path) -> Any | None:
    """Return the tree of clusters in a JSON file; None for a file that holds something else or is broken,
    which whoever reads it next reports."""
    if path.stat().st_size > MAX_TREE_BYTES:
        return None  # a dump of vectors, which is read as a stream
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError):
        return None
    inner: Sequence[Any] = (
        list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return value if is_node(value) or (inner and all(map(is_node, inner))) else None


@dataclass
class GivenClusters:
    """A tree of clusters as it is in a file: the ``names`` of its nodes, and the ``images``, each with the
    path to its node."""

    names: dict[Path_, str] = field(default_factory=dict)
    images: list[tuple[str, Path_]] = field(default_factory=list)

    @classmethod
    def of(cls, value: Any) -> GivenClusters:
        """Make it from what ``read_tree_file`` gave, or from an object of several such by name."""
        made = cls()
        waiting: list[tuple[Any, Path_]] = [(value, ())]
        while waiting:
            node, way = waiting.pop()
            waiting += reversed(list(made._add(node, way)))
        return made

    def _add(self, node: Any, way: Path_) -> Iterator[tuple[Any, Path_]]:
        """Add one node, and return the nodes below it."""
        if isinstance(node, dict) and is_node(node):
            named = next(
                (node[key] for key in NAMES if isinstance(node.get(key), str | int) and str(node[key])), None
            )
            if named is not None:
                self.names.setdefault(way, str(named))
            below = [one for key in CHILDREN for one in _listed(node.get(key))]
            own = [one for key in IMAGES for one in _listed(node.get(key))]
        else:
            below, own = list(_listed(node)), []
        number = 0
        for name, child in below:
            if is_node(child) or (isinstance(child, list | dict) and _picture(child) is None):
                inner = (*way, number)
                number += 1
                if name:
                    self.names[inner] = name
                if len(inner) < MAX_LEVELS:
                    yield child, inner
                else:
                    self.images += [(picture, inner) for picture in _pictures(child)]
            else:
                own.append((name, child))
        # images next to children are a child of their own: each is in one leaf
        place = (*way, number) if number and own else way
        self.images += [(picture, place) for _, one in own if (picture := _picture(one)) is not None]


def _listed(value: Any) -> list[tuple[str, Any]]:
    """Return values with the names that they have in an object; "" in a list."""
    if isinstance(value, dict):
        return [(str(name), one) for name, one in value.items()]
    return [("", one) for one in value] if isinstance(value, list) else []


def _picture(value: Any) -> str | None:
    """Return the path or name of an image."""
    if isinstance(value, dict):
        value = next((value[key] for key in PICTURE if isinstance(value.get(key), str)), None)
    return value.replace("\\", "/") if isinstance(value, str) and value.strip() else None


def _pictures(value: Any) -> Iterator[str]:
    """Return all images at and below a node."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        found = None if is_node(one) else _picture(one)
        if found is not None:
            yield found
        elif isinstance(one, dict):
            waiting += [inner for key in (*CHILDREN, *IMAGES) for _, inner in _listed(one.get(key))]
        elif isinstance(one, list):
            waiting += one


class NamedPictures:
    """Finds the pictures of a folder by their path in it, or by their name where only one has it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise BadSource(f"There is no folder {folder} with the pictures.")
        self._folder = folder
        self._paths: dict[str, str] = {}
        self._names: dict[str, str | None] = {}
        for found in walk(str(folder), has_image_extension):
            if not found.fault and not found.again and has_image_extension(found.path):
                relative = self.shown(found.path)
                self._paths[relative] = found.path
                name = PurePosixPath(relative).name
                self._names[name] = None if name in self._names else found.path

    @property
    def paths(self) -> list[str]:
        """The paths of all pictures, in order of name."""
        return list(self._paths.values())

    def shown(self, path: str) -> str:
        """Return the path of a picture within the folder."""
        return Path(path).relative_to(self._folder).as_posix()

    def find(self, name: str) -> str | None:
        """Return the path of the picture that a file calls ``name``: the longest end of it that is a path in
        the folder decides, else its name."""
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            path = self._paths.get("/".join(parts[start:]))
            if path is not None:
                return path
        return self._names.get(parts[-1]) if parts else None


class ClusteredPictures(Source):
    """The pictures of a tree of clusters, as a source. Once it was read, ``fit`` makes the clusters of its
    images."""

    def __init__(self, name: str, given: GivenClusters, pictures: NamedPictures, max_bytes: int) -> None:
        self.name, self.indexes = shown_name(name), {}
        self._given, self._pictures, self._max_bytes = given, pictures, max_bytes
        self._lock = threading.Lock()  # files are read on several threads
        self._ways: dict[str, tuple[int, Path_]] = {}
        """By image, the first of its places in the tree, and the cluster there."""
        self._twice: set[str] = set()

    @property
    def total(self) -> int:
        return len(self._given.images)

    def __iter__(self) -> Iterator[ImageRecord]:
        for place, (name, way) in enumerate(self._given.images):
            record = ImageRecord(self.name, shown_name(name))
            path = self._pictures.find(name)
            if path is None:
                yield record.refused(
                    "image_missing", f"The folder has no picture {name!r}, or several of that name."
                )
                continue
            filename = shown_name(self._pictures.shown(path))
            yield ImageRecord(self.name, filename, self._reader(path, place, way), created_at=modified(path))

    def notes(self) -> list[str]:
        return (
            [f"{len(self._twice)} images are in several clusters, and were put into the first."]
            if self._twice
            else []
        )

    @property
    def found(self) -> int:
        """Return how many images were read so far."""
        return len(self._ways)

    @property
    def fit(self) -> Fit:
        """Return the clusters as a ``Fit``; images of the category that are in none are noise."""

        def fit(images: Images, advance: Advance) -> Fitted:
            ways = [self._ways[id][1] if id in self._ways else None for id in images.ids]
            tree, found = given_tree(images.x, ways)
            advance(len(images.ids), len(images.ids))
            names = {
                id: self._given.names[way] for id, way in found.items() if way and way in self._given.names
            }
            return Fitted(
                METHOD,
                tree,
                {"from": self.name},
                {"given": sum(way is not None for way in ways)},
                names=names,
            )

        return fit

    def _reader(self, path: str, place: int, way: Path_) -> Any:
        def read() -> bytes:
            data = read_file(path, self._max_bytes)
            id = point_id(content_hash(data))
            with self._lock:
                first, its = self._ways.setdefault(id, (place, way))
                if its != way:
                    self._twice.add(id)
                if place < first:  # whichever thread came first
                    self._ways[id] = place, way
            return data

        return read


def clusters_of(files: Sequence[Path]) -> GivenClusters | None:
    """Return the tree of clusters in these files; of several trees each is a child of the root. None if no
    file holds one."""
    trees: Mapping[str, Any] = {
        file.stem: tree for file in files if (tree := read_tree_file(file)) is not None
    }
    if not trees:
        return None
    return GivenClusters.of(next(iter(trees.values())) if len(trees) == 1 else dict(trees))
