"""A new payload field is one line in the table of fields."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from vitrine.services.category.fields import FIELDS, Field

ROOT = Path(__file__).parents[1]


def test_one_line_makes_a_field_that_works_everywhere(tmp_path: Path) -> None:
    """From a manifest, an annotation, an upload and an edit; in filters of the command line, the query string
    and the body of a search; in facets, exports, OpenAPI, colours of maps and the merging of copies."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.with_new_field", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3_000:]


def test_the_page_shows_the_table() -> None:
    page = (ROOT / "docs/architecture.md").read_text()
    section = page[page.index("## The payload of a point") :].partition("\n## ")[0]
    shown = [line for line in section.splitlines() if re.match(r"\| `[\w.*]+` \|", line)]
    assert shown == [row(field) for field in FIELDS]


def row(field: Field) -> str:
    holds = field.holds + (", several" if field.many else "") + (" in 0..1" if field.unit else "")
    cells = (f"`{field.name}`", holds, field.index, field.set_by, field.merge or "", field.help)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
