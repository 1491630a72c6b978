"""Whether people who see, hear or move differently can use a page: what axe-core finds in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

SOURCE = Path(__file__).resolve().parents[3] / "web/node_modules/axe-core/axe.min.js"
RUN = "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)"
BAD = ("serious", "critical")


def axe(page: Page) -> None:
    """Fail for everything serious or critical that axe-core finds in the page as it is shown now. Skips the
    test where axe-core is missing."""
    if not SOURCE.is_file():
        pytest.skip("axe-core is missing: make page")
    # by evaluate: the content security policy lets no script tag in
    if not page.evaluate("'axe' in window"):
        page.evaluate(f"() => {{ {SOURCE.read_text(encoding='utf-8')} }}")
    bad = [_told(one) for one in page.evaluate(RUN) if one["impact"] in BAD]
    assert not bad, "\n".join([f"axe-core on {page.url}:", *bad])


def _told(violation: dict[str, Any]) -> str:
    """What is wrong, with the elements that it is wrong of."""
    lines = [f"- {violation['impact']}, {violation['id']}: {violation['help']} ({violation['helpUrl']})"]
    for node in violation["nodes"]:
        why = node["failureSummary"].replace("\n", " ")
        lines.append(f"    {' '.join(map(str, node['target']))}: {why}\n    {node['html'][:200]}")
    return "\n".join(lines)
