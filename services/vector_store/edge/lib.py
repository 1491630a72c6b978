"""The engine's binding, without its type stubs: they refuse the memoryviews and numpy scalars that it takes
and that we need."""

from __future__ import annotations

from typing import Any, Final

import qdrant_edge

edge: Final[Any] = qdrant_edge
