"""Plan what a demo catalogue will hold, before anything is drawn."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from vitrine.data.edits import EDITS
from vitrine.data.painting import Design
from vitrine.data.scenes import choice, random_design

_FIRST_DAY: Final = datetime(2025, 1, 1, tzinfo=UTC)
_DAYS: Final = 540
_NEAR_DUPLICATES = 0.08
_CUT_OUTS = 0.06
_FORMATS = ("jpg", "webp", "png")
_FORMAT_SHARES = (0.86, 0.09, 0.05)


@dataclass(frozen=True)
class PlannedPicture:
    """One row of the planned catalogue."""

    index: int
    """Names the random stream its pixels are drawn with."""
    path: str
    """Relative to the manifest, with forward slashes."""
    design: Design
    created_at: str
    cut_out: bool
    original: "PlannedPicture | None" = None
    """The row this one is a near-duplicate of."""
    edit: str = ""


def plan_catalogue(count: int, seed: int) -> list[PlannedPicture]:
    """Return `count` rows; the same for the same seed.

    Half of the designs occur once, the others three to six times; of the rows, 8 in 100 are near-duplicates
    of other rows.
    """
    rng = np.random.default_rng([seed, 0])
    copies = round(count * _NEAR_DUPLICATES)
    designs: list[Design] = []
    while len(designs) < count - copies:
        serial = len({d.name for d in designs})
        design = random_design("", rng)
        design = replace(design, name=f"{design.kind}-design-{serial:04d}")
        designs += [design] * (1 if rng.random() < 0.5 else int(rng.integers(3, 7)))
    shuffled = rng.permutation(count - copies)
    rows = [_planned(i, designs[int(j)], rng) for i, j in enumerate(shuffled)]
    sources = [row for row in rows if not row.cut_out]
    chosen = rng.choice(len(sources), size=min(copies, len(sources)), replace=False)
    for index, position in enumerate(chosen, start=len(rows)):
        original = sources[int(position)]
        rows.append(
            PlannedPicture(
                index=index,
                path=_path(index, original.design.kind, "jpg"),
                design=original.design,
                created_at=_moment(rng),
                cut_out=False,
                original=original,
                edit=choice(EDITS, rng),
            )
        )
    return rows


def _planned(index: int, design: Design, rng: np.random.Generator) -> PlannedPicture:
    cut_out = bool(rng.random() < _CUT_OUTS)
    extension = "png" if cut_out else _FORMATS[int(rng.choice(len(_FORMATS), p=_FORMAT_SHARES))]
    return PlannedPicture(
        index=index,
        path=_path(index, design.kind, extension),
        design=design,
        created_at=_moment(rng),
        cut_out=cut_out,
    )


def _path(index: int, kind: str, extension: str) -> str:
    return f"images/{kind}/{kind}-{index:05d}.{extension}"


def _moment(rng: np.random.Generator) -> str:
    """Return a time as RFC 3339, UTC."""
    moment = _FIRST_DAY + timedelta(seconds=int(rng.integers(_DAYS * 86_400)))
    return moment.isoformat().replace("+00:00", "Z")
