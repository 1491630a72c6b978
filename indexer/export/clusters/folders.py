"""Pictures into folders by cluster: a folder for each node, called by its id and name, inside its parent's
folder.

A folder belongs to one version of a run: node ids of another would mix with those that are there, and every
picture would lie in it twice. So a marker in it says whose it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitrine.indexer.export.names import safe_name
from vitrine.services.artifacts.clusters import ROOT, ClusterRun, Node
from vitrine.services.errors import BadRequest
from vitrine.services.files import make_folder, unwritable
from vitrine.services.values.field_paths import value_at

MARKER = ".vitrine-run.json"
_LONGEST_NAME = 60
_OF_A_NODE = re.compile(rf"({ROOT}(?:-[a-z0-9]+)*)(?: .*)?")


@dataclass(frozen=True)
class ByCluster:
    """Sorts images by their path in a run, such as ``root-14 red mugs/root-14-3``; ``depth``: levels below
    the root, None: all.

    A node that has a folder in ``target`` already keeps it, whatever it was called then. ``BadRequest`` for a
    depth below 1.
    """

    run: ClusterRun
    depth: int | None = None
    target: Path | None = None
    _there: dict[str, dict[str, str]] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 1:
            raise BadRequest(f"Folders take a depth of 1 or more, not {self.depth}.")

    def names(self, payload: Mapping[str, Any]) -> list[str]:
        """Return the one folder of an image, or none if it has no node in the run."""
        path = value_at(payload, self.run.payload_field)
        if not isinstance(path, list) or not path:
            return []
        inside = ""
        for id in (path[1:] if self.depth is None else path[1 : self.depth + 1]) or path[:1]:
            inside = f"{inside}{self._folder(inside, id)}/"
        return [inside.removesuffix("/")]

    def _folder(self, inside: str, id: str) -> str:
        if (
            self.target is not None and inside not in self._there
        ):  # two threads may both look: they see the same
            self._there[inside] = dict(_node_folders(self.target / inside))
        if id in self._there.get(inside, {}):
            return self._there[inside][id]
        node = self.run.nodes.get(id)
        return ROOT if id == ROOT else folder_name(node) if node else safe_name(id)


@dataclass(frozen=True)
class Claim:
    """The owner of an export folder: a version of a run, which its key and date tell apart, and how deep its
    folders go."""

    category: str
    run: str
    key: str
    created_at: str
    depth: int | None

    @classmethod
    def of(cls, category: str, by: ByCluster) -> Claim:
        return cls(category, by.run.run, by.run.key, by.run.created_at, by.depth)

    def check(self, folder: Path) -> None:
        """Raise ``BadRequest`` if ``folder`` has node folders of another run, or of an unknown one. Writes
        nothing."""
        there = self._read(folder)
        if there == self or next(_node_folders(folder), None) is None:
            return
        if there is None:
            raise BadRequest(
                f"{folder} has folders of clusters, and it is not known of which run: choose another folder."
            )
        if (there.category, there.key, there.created_at) == (self.category, self.key, self.created_at):
            depth = "without --depth" if there.depth is None else f"with --depth {there.depth}"
            raise BadRequest(f"{folder} was exported {depth}: say the same again, or choose another folder.")
        whose = (
            f"the run {there.run!r} of category {there.category!r} as it was made at {there.created_at[:19]}"
        )
        raise BadRequest(f"{folder} holds {whose}, which is another than this one: choose another folder.")

    def put(self, folder: Path) -> None:
        """Note it in ``folder``, which is made if it is not there. ``BadRequest`` if that cannot be."""
        if self._read(folder) == self:
            return
        partial_path = folder / f"{MARKER}.part"
        try:
            make_folder(folder)
            partial_path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1), encoding="utf-8")
            os.replace(partial_path, folder / MARKER)
        except OSError as error:
            raise unwritable(folder, error) from error

    @staticmethod
    def _read(folder: Path) -> Claim | None:
        try:
            return Claim(**json.loads((folder / MARKER).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def folder_name(node: Node) -> str:
    """Return the name of a node's folder, valid on any system.

    >>> folder_name(Node("root-14", "root", 1, 3, "m", ("m",), 0.5, "red mugs"))
    'root-14 red mugs'
    """
    return safe_name(f"{node.id} {node.name[:_LONGEST_NAME]}".strip())


def _node_folders(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the node's id and the folder's name for every node folder in ``folder``."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except OSError:  # it is not there yet
        return
    for name in reversed(names):  # of two for one node the first is taken, if a person made another
        if match := _OF_A_NODE.fullmatch(name):
            yield match[1], name
