"""The notebook in docs/: `python -m tests.vitrine.notebook` runs it and stores what its cells give.

A notebook is JSON, and its cells are plain Python: no notebook server is needed for it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from tests.vitrine.pages import evaluate

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "vitrine.ipynb"
Output = dict[str, Any]


def run_notebook(path: Path = NOTEBOOK) -> list[list[Output]]:
    """Run the cells of code in order in the working directory; return the outputs of each."""
    namespace: dict[str, Any] = {}
    cells = json.loads(path.read_text())["cells"]
    return [_outputs("".join(cell["source"]), namespace) for cell in cells if cell["cell_type"] == "code"]


def stored_outputs(path: Path = NOTEBOOK) -> list[list[Output]]:
    """The outputs that the notebook shows."""
    cells = json.loads(path.read_text())["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def texts(outputs: list[Output]) -> list[str]:
    """The outputs as text, without the digits of similarities: the last ones depend on the processor."""
    found = []
    for output in outputs:
        text = "".join(output["text"] if "text" in output else output["data"]["text/plain"])
        found.append(re.sub(r"\d\.\d{3,}", "0.0000", text))
    return found


def pictures(outputs: list[Output]) -> int:
    """How many pictures the outputs show."""
    return sum("".join(output.get("data", {}).get("text/html", "")).count("<img") for output in outputs)


def _outputs(code: str, namespace: dict[str, Any]) -> list[Output]:
    printed, value = evaluate(code, namespace)
    outputs: list[Output] = []
    if printed:
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data["text/html"] = value._repr_html_().splitlines(keepends=True)
        outputs.append(
            {"output_type": "execute_result", "execution_count": None, "metadata": {}, "data": data}
        )
    return outputs


def main() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = run_notebook()
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, outputs) in enumerate(zip(cells, found, strict=True), 1):
        cell["execution_count"] = number
        results = [output for output in outputs if "execution_count" in output]
        for output in results:
            output["execution_count"] = number
        cell["outputs"] = outputs
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
