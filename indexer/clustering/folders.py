"""Pictures into folders by cluster: a folder for each node, called by its id and name, inside that of its parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from indexer.export_names import safe_name
from services.clusters import ROOT, ClusterRun, Node
from services.errors import BadRequest
from services.payload import value_at

_LONGEST_NAME = 60


@dataclass(frozen=True)
class ByCluster:
    """Sorts images by their path in a run, such as ``root-14 red mugs/root-14-3``; ``depth``: levels below the root, None: all.

    ``BadRequest`` for a depth below 1.
    """

    run: ClusterRun
    depth: int | None = None

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 1:
            raise BadRequest(f"Folders take a depth of 1 or more, not {self.depth}.")

    def names(self, payload: Mapping[str, Any]) -> list[str]:
        """The one folder of an image; none if it has no node in the run."""
        path = value_at(payload, self.run.payload_field)
        if not isinstance(path, list) or not path:
            return []
        below = path[1:] if self.depth is None else path[1 : self.depth + 1]
        return ["/".join(self._folder(id) for id in below) or ROOT]

    def _folder(self, id: str) -> str:
        node = self.run.nodes.get(id)
        return folder_name(node) if node else safe_name(id)


def folder_name(node: Node) -> str:
    """A folder's name on any system.

    >>> folder_name(Node("root-14", "root", 1, 3, "m", ("m",), 0.5, "red mugs"))
    'root-14 red mugs'
    """
    return safe_name(f"{node.id} {node.name[:_LONGEST_NAME]}".strip())
