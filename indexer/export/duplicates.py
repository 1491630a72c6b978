"""Groups of near-duplicates as JSON, as a table and as contact sheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vitrine.indexer.export.sheets import hit_captions, save_sheet
from vitrine.services.artifacts.duplicates import DuplicateGroup
from vitrine.services.domain import Hit
from vitrine.services.files import check_ending, writing
from vitrine.services.runtime import Runtime

_PAGE = 500


def group_json(group: DuplicateGroup) -> dict[str, Any]:
    """Return a group as a JSON object."""
    members = [
        {
            "id": member.id,
            "verdict": member.kind,
            "of": group.original_of(member),
            "similarity": member.similarity,
            "turn": member.turn,
        }
        for member in group.members
    ]
    return {"id": group.id, "keep": group.keep, "chosen": group.chosen, "members": members}


def file_names(runtime: Runtime, category: str, ids: Iterable[str]) -> dict[str, str]:
    """Return the file names of images, by id; without those that are gone."""
    wanted, found = list(ids), dict[str, str]()
    for start in range(0, len(wanted), _PAGE):
        page = wanted[start : start + _PAGE]
        hits = runtime.vectors.retrieve(category, page, with_payload=("filename",))
        found |= {hit.id: str(hit.payload.get("filename", "")) for hit in hits if hit is not None}
    return found


def write_groups(runtime: Runtime, category: str, path: Path) -> int:
    """Write all groups to a .json file, or to a .csv file with a line an image; return how many there are.

    ``NotFound`` (category, or no search was made yet), ``BadRequest``.
    """
    check_ending(path, "a file of groups", (".json", ".csv"))
    run = runtime.duplicates.get(category)
    if path.suffix.lower() == ".json":
        groups = [group_json(group) for group in run.groups]
        tree = {"category": category, "run": run.key, "groups": groups}
        with writing(path):
            path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        return len(groups)
    names = file_names(runtime, category, (id for group in run.groups for id in group.ids))
    with writing(path), path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "id", "verdict", "similarity", "turn", "filename"])
        for group in run.groups:
            writer.writerows(
                [group.id, m.id, m.kind, m.similarity, m.turn, names.get(m.id)] for m in group.members
            )
    return len(run.groups)


def write_group_sheet(
    runtime: Runtime, category: str, group: DuplicateGroup, hits: Mapping[str, Hit], path: Path
) -> None:
    """Draw the images of a group that are there (``hits``, by id) as a contact sheet. ``BadRequest``."""
    words = {member.id: f"{member.kind} {member.turn}  {member.similarity:.2f}" for member in group.members}
    save_sheet(
        runtime,
        path,
        [],
        [hits[id] for id in group.ids if id in hits],
        title=f"{category}: {group.id}",
        captions=lambda hit: (words[hit.id], hit_captions(hit)[0], str(hit.payload.get("filename", ""))),
    )
