"""The lots in which work is done: how many items they hold, and how many are worked at at once."""

from __future__ import annotations

from contextlib import nullcontext

from vitrine.indexer.job.workers import Pace


def test_only_quick_lots_of_the_largest_size_overlap() -> None:
    pace = Pace(8, seconds=3.0, first=2)
    alone = pace.turn()
    assert pace.turn() is alone and not isinstance(alone, nullcontext)
    pace.note(2, 0.1)
    assert pace.count == 8 and isinstance(pace.turn(), nullcontext)
    pace.note(8, 12.0)
    assert pace.count == 4 and pace.turn() is alone
