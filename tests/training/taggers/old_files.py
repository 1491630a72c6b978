"""The npz that the script in docs/training.md writes of a fitted model."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

SCRIPT = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
SCRIPT = "import pickle, sys" + SCRIPT.partition("```python\nimport pickle, sys")[2].partition("```")[0]


def to_npz(value: object, protocol: int = pickle.DEFAULT_PROTOCOL) -> bytes:
    """Pickle ``value``, run the script on it as a program, and return what it wrote."""
    with TemporaryDirectory() as folder:
        old, new = Path(folder) / "old.pkl", Path(folder) / "old.npz"
        old.write_bytes(pickle.dumps(value, protocol))
        with patch.object(sys, "argv", ["to_npz.py", str(old), str(new)]):
            exec(compile(SCRIPT, "to_npz.py", "exec"), {"__name__": "__main__"})
        return new.read_bytes()
