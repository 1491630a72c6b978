"""The demo catalogue: a folder of drawn pictures with a manifest and the truth about them."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from vitrine.data.catalogue_plan import PlannedPicture, plan_catalogue
from vitrine.data.edits import edited
from vitrine.data.pictures import GENERATOR_VERSION, draw_picture
from vitrine.data.scenes import colourfulness, filled_share, random_scene
from vitrine.data.shapes import KINDS

COLUMNS: Final = (
    "path",
    "class",
    "tags",
    "caption",
    "quality",
    "scores.close_up",
    "scores.colourful",
    "design",
    "duplicate_of",
    "edit",
    "created_at",
)
_OWN_NAME = re.compile(rf"({'|'.join(KINDS)})-\d{{5}}\.(jpg|png|webp)(\.part)?")


@dataclass(frozen=True)
class CatalogueSummary:
    """What a folder holds after `draw_catalogue`."""

    folder: Path
    manifest: Path
    pictures: int
    kinds: int
    designs: int
    near_duplicates: int
    drawn: int
    """Pictures drawn by this call; 0 where the folder was complete."""


def draw_catalogue(
    folder: Path,
    *,
    count: int = 1200,
    seed: int = 7,
    size: int = 192,
    progress: Callable[[int, int], None] | None = None,
) -> CatalogueSummary:
    """Write `count` pictures of size x size pixels, `manifest.csv` and `truth.json` to `folder`.

    The same seed, count and size give the same files. A folder that holds exactly this catalogue is left
    alone; anything else, also an interrupted drawing, is drawn again: `truth.json` is written last, and every
    file is written under another name and then moved, so that a file with its own name is complete. Pictures
    of another catalogue in the folder are removed, files that this module never made are not touched.
    `progress(done, count)`.

    Raises ValueError for a count below 1 or a size below 32.
    """
    if count < 1 or size < 32:
        raise ValueError(f"count must be at least 1 and size at least 32, not {count} and {size}")
    plan = plan_catalogue(count, seed)
    made_by = {"generator": GENERATOR_VERSION, "seed": seed, "count": count, "size": size}
    drawn = 0
    if not _is_complete(folder, made_by, plan):
        (folder / "truth.json").unlink(missing_ok=True)
        rows = []
        for planned in plan:
            rows.append(_draw_row(folder, planned, seed, size))
            drawn += 1
            if progress is not None:
                progress(drawn, count)
        _remove_strangers(folder, plan)
        manifest = _manifest(rows)
        _write(folder / "manifest.csv", manifest)
        truth = made_by | {"manifest_sha256": hashlib.sha256(manifest).hexdigest()} | _truth(plan)
        _write(folder / "truth.json", (json.dumps(truth, indent=1) + "\n").encode())
    return CatalogueSummary(
        folder=folder,
        manifest=folder / "manifest.csv",
        pictures=len(plan),
        kinds=len({p.design.kind for p in plan}),
        designs=len({p.design.name for p in plan}),
        near_duplicates=sum(p.original is not None for p in plan),
        drawn=drawn,
    )


def _is_complete(folder: Path, made_by: dict[str, int], plan: Sequence[PlannedPicture]) -> bool:
    """Return whether `folder` holds the planned catalogue, manifest and pictures included."""
    try:
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        manifest = (folder / "manifest.csv").read_bytes()
    except (OSError, ValueError):
        return False
    if not isinstance(truth, dict) or any(truth.get(key) != value for key, value in made_by.items()):
        return False
    if truth.get("manifest_sha256") != hashlib.sha256(manifest).hexdigest():
        return False
    return all((folder / planned.path).is_file() for planned in plan)


def _draw_row(folder: Path, planned: PlannedPicture, seed: int, size: int) -> dict[str, str]:
    """Draw and write one picture; return its row of the manifest."""
    source = planned.original or planned
    # A near-duplicate draws its original once more, with the original's stream, and edits that.
    rng = np.random.default_rng([seed, 1, source.index])
    scene = random_scene(source.design, rng, cut_out=source.cut_out)
    picture = draw_picture(source.design, scene, rng, size)
    image, mask, quality = picture.image, picture.mask, picture.quality
    if planned.original is not None:
        change = edited(planned.edit, image, mask, np.random.default_rng([seed, 2, planned.index]))
        image, mask, quality = change.image, change.mask, quality * change.quality
    _write(folder / planned.path, _encoded(image, planned))
    return {
        "path": planned.path,
        "class": picture.design.kind,
        "tags": "|".join(picture.tags),
        "caption": picture.caption,
        "quality": f"{quality:.4f}",
        "scores.close_up": f"{filled_share(mask):.4f}",
        "scores.colourful": f"{colourfulness(image):.4f}",
        "design": planned.design.name,
        "duplicate_of": source.path if planned.original is not None else "",
        "edit": planned.edit,
        "created_at": planned.created_at,
    }


def _encoded(image: Image.Image, planned: PlannedPicture) -> bytes:
    """Return the file's bytes, in the format that its name asks for."""
    buffer = io.BytesIO()
    if planned.path.endswith(".png"):
        image.save(buffer, "PNG", compress_level=4)
    elif planned.path.endswith(".webp"):
        image.save(buffer, "WEBP", quality=88, method=2)
    else:
        image.save(buffer, "JPEG", quality=88 + planned.index % 8)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def _remove_strangers(folder: Path, plan: Sequence[PlannedPicture]) -> None:
    """Remove pictures that have names of this module and are not planned."""
    wanted = {folder / planned.path for planned in plan}
    for kind in KINDS:
        for path in (folder / "images" / kind).glob(f"{kind}-*"):
            if path not in wanted and _OWN_NAME.fullmatch(path.name):
                path.unlink()


def _manifest(rows: Sequence[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")


def _truth(plan: Sequence[PlannedPicture]) -> dict[str, Any]:
    """Return which pictures show one design, and which are near-duplicates of which."""
    designs: dict[str, dict[str, Any]] = {}
    for planned in plan:
        design = planned.design
        facts = {name: getattr(design, name) for name in ("kind", "main", "accent", "pattern")}
        designs.setdefault(design.name, {**facts, "pictures": []})["pictures"].append(planned.path)
    copies = [
        {"path": p.path, "duplicate_of": p.original.path, "edit": p.edit}
        for p in plan
        if p.original is not None
    ]
    return {"designs": designs, "near_duplicates": copies}
