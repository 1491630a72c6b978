"""Which runtime an encoder runs in: OpenVINO on a CPU, torch on a GPU and for training."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal

from vitrine.services.encoders.precision import choose_device

Runtime = Literal["openvino", "torch"]
WantedRuntime = Literal["auto", "openvino", "torch"]

WITHOUT_TORCH = (
    "VITRINE_RUNTIME=torch and a CUDA device need torch, which is not installed: pip install "
    "'vitrine[train]', or set VITRINE_RUNTIME and VITRINE_DEVICE to auto."
)
"""What is said where the settings ask for torch and it is not installed."""


def choose_runtime(wanted: WantedRuntime, device: str, *, training: bool = False) -> Runtime:
    """Return the runtime to use. ``device``: auto, cpu or cuda[:N].

    ``auto`` is torch on a CUDA device, else OpenVINO. A model that is to be trained is torch's, whatever is
    wanted.
    """
    if training or wanted == "torch":
        return "torch"
    if wanted == "openvino":
        return "openvino"
    return "torch" if choose_device(device).startswith("cuda") or not find_spec("openvino") else "openvino"


def has_torch() -> bool:
    """Return whether torch and transformers are installed; imports neither."""
    return bool(find_spec("torch") and find_spec("transformers"))


def core_count(threads: int = 0) -> int:
    """Return how many threads may compute: ``threads``, or one for each core that this process may use."""
    if threads:
        return threads
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1
