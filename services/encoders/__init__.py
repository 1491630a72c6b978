"""Encoders: from a reference (a preset, a folder, a hub name) to embeddings of images and texts."""

import sys

# Its import alone would report to a host of statistics, through a package that it brings along and does
# without: so that package is not to be found. NNCF reports through the same.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
