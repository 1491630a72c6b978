"""How the name that people give a node of a cluster run is taken back: where it is still the node's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitrine.services.artifacts.clusters import ClusterRun, ClusterStore, Node
from vitrine.services.artifacts.store import name_of
from vitrine.services.category.changes.entries import Other, Record
from vitrine.services.category.changes.outcomes import TakenBack
from vitrine.services.values.words import composed

KIND = "cluster name"
BY_PEOPLE = "people"
"""What ``Node.named_by`` says of a name from here."""


def rename_node(
    clusters: ClusterStore, category: str, run: str, node: str, name: str, *, record: Record
) -> ClusterRun:
    """Give a node of a run in service another name, "" for none, and return the run as it is then.
    ``record``: gets how this is taken back, unless that is the node's name already. ``NotFound``."""
    found = clusters.get(category, run)
    before = found.node(node)
    name = composed(" ".join("".join(each if each.isprintable() else " " for each in name).split()))
    if name == before.name:
        return found
    after = (name, BY_PEOPLE if name else "")
    record.save(_step(found.key, node, (before.name, before.named_by), after))
    return clusters.rename_node(category, found.key, node, *after)


@dataclass(frozen=True, eq=False)
class ClusterChanges:
    """Takes names back."""

    store: ClusterStore

    def take_back(self, record: Record, step: Other) -> TakenBack:
        """Give a node its former name, unless it was renamed since, or its run was replaced. What is taken
        back, or kept, is the id of the node."""
        data = step.data
        key, id = data["run"], data["node"]
        node = self._node(record.category, key, id)
        if node is None or [node.name, node.named_by] != data["after"]:
            return TakenBack(kept=[id])
        record.save(_step(key, id, data["after"], data["before"]))
        self.store.rename_node(record.category, key, id, *data["before"])
        return TakenBack(done=[id])

    def _node(self, category: str, key: str, id: str) -> Node | None:
        entry = self.store.entries(category).get(name_of(key))
        if entry is None or entry.key != key:
            return None
        return self.store.get(category, name_of(key)).nodes.get(id)


def _step(run: str, node: str, before: Sequence[str], after: Sequence[str]) -> Other:
    data: Mapping[str, Any] = {"run": run, "node": node, "before": list(before), "after": list(after)}
    return Other(KIND, data)
