"""Which fields of a category can be ordered by or counted: those with an index of the right kind."""

from __future__ import annotations

from collections.abc import Iterable

from vitrine.services.category.fields import INTERNAL
from vitrine.services.category.manifest import Category
from vitrine.services.errors import UnknownField
from vitrine.services.values.kinds import HELD


def check_indexed(
    cat: Category, field: str, kinds: tuple[str, ...], use: str, others: Iterable[str] = ()
) -> None:
    """Raise ``UnknownField`` unless the field is indexed by one of these kinds. The sentence says what it
    cannot be used for (``use``), and names the fields that can be, the ``others`` among them.

    Fields of runs and maps are not named: their keys are internal, and stay indexed when they are replaced.
    """
    kind = cat.indexes.get(field)
    if kind in kinds:
        return
    able = (name for name, its in cat.indexes.items() if its in kinds)
    fitting = (name for name in able if name.partition(".")[0] not in INTERNAL)
    what = "has no index" if kind is None else f"holds {HELD[kind]}"
    known = ", ".join(sorted([*fitting, *others]))
    raise UnknownField(f"{field!r} {what}, so it cannot be {use}. These can: {known}.", field=field)
