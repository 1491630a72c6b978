"""One side of an encoder, compiled by OpenVINO when it is first asked for anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings, Preprocessing
from vitrine.services.encoders.precision import Precision

if TYPE_CHECKING:
    import openvino as ov

_HINTS: Mapping[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
"""Of the parts of a quantised graph that are not in int8, too."""


@dataclass(frozen=True)
class Streams:
    """How a tower shares the cores: ``count`` passes run at once, each on one thread and over at most
    ``slices`` inputs, by number format.

    Passes of one thread never wait for each other, so work elsewhere on the machine slows them down by its
    share alone; a pass on all cores waits for the slowest of them after each layer.

    ``few``: fewer inputs than this go one by one, until more have been asked for at once. OpenVINO packs a
    large network's weights once for single inputs and once more for several, as each kind is first met; a
    process that answers queries then holds only the first, one that indexes only the second.
    """

    count: int
    slices: Mapping[Precision, int]
    few: Mapping[Precision, int] = field(default_factory=dict)

    def cut(self, count: int, precision: Precision, *, several: bool) -> list[int]:
        """Return the sizes of the slices that ``count`` inputs go in: as many to each stream, alike in size.
        ``several``: more than a few were asked for before.

        >>> Streams(2, {"float32": 8}).cut(18, "float32", several=False)
        [5, 5, 4, 4]
        """
        few = self.few.get(precision, 0)
        if count < few and not several:
            return [1] * count
        parts = self.count * -(-count // (self.count * self.slices[precision]))
        parts = max(1, min(parts, count // 2 if few else count))
        return [count // parts + (number < count % parts) for number in range(parts)]


class Tower:
    """A graph with one input (n, ...) and one output (n, dim), run in slices on several streams.

    Compiled in ``precision`` on the first call. Not thread-safe; a call releases the interpreter lock while
    it computes.
    """

    def __init__(
        self, model: ov.Model, dim: int, streams: Streams, release: Callable[[], object] | None = None
    ) -> None:
        """``release`` is called after a pass that packed the weights: what they were read from need not stay
        in memory."""
        self._model = model
        self._release = release
        self._dim = dim
        self._streams = streams
        self._precision: Precision = "float32"
        self._queue: Any = None
        self._several = False
        self._rows: Embeddings = np.empty((0, dim), np.float32)

    @property
    def model(self) -> ov.Model:
        """The graph that it runs."""
        return self._model

    def on(self, model: ov.Model) -> Tower:
        """Return a tower that runs another graph of the same input and output."""
        return Tower(model, self._dim, self._streams)

    def round_to(self, precision: Precision) -> None:
        """Compute in this number format from now on; what was compiled for another is given up."""
        if precision != self._precision:
            self._precision, self._queue, self._several = precision, None, False

    def __call__(self, inputs: Sequence[NDArray[Any]] | NDArray[Any]) -> Embeddings:
        """Return (n, dim) float32, row i for input i. All inputs have the same shape and type."""
        if not len(inputs):
            return np.empty((0, self._dim), np.float32)
        packs = self._queue is None
        queue = self._compiled()
        rows = self._rows = np.empty((len(inputs), self._dim), np.float32)
        sizes = self._streams.cut(len(inputs), self._precision, several=self._several)
        packs |= max(sizes) > 1 and not self._several
        self._several |= max(sizes) > 1
        ends = np.cumsum(sizes)
        slices = [np.stack(list(inputs[end - size : end])) for size, end in zip(sizes, ends, strict=True)]
        try:
            for part, end in zip(slices, ends, strict=True):  # they are read in place, so the list keeps them
                queue.start_async({0: part}, int(end) - len(part), share_inputs=True)
        finally:
            queue.wait_all()
        self._rows = np.empty((0, self._dim), np.float32)
        if packs and self._release:
            self._release()
        return rows

    def _compiled(self) -> Any:
        if self._queue is None:
            import openvino as ov

            compiled = ov.Core().compile_model(
                self._model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
                    "NUM_STREAMS": self._streams.count,
                    "INFERENCE_NUM_THREADS": self._streams.count,
                    # pinned threads stay on a core that other work has taken
                    "ENABLE_CPU_PINNING": False,
                },
            )
            self._queue = ov.AsyncInferQueue(compiled, self._streams.count)
            self._queue.set_callback(self._take)
        return self._queue

    def _take(self, request: Any, first: int) -> None:
        found = request.get_output_tensor(0).data
        self._rows[first : first + len(found)] = found


def reads_pixels(model: ov.Model, preprocessing: Preprocessing) -> ov.Model:
    """Return the graph with the normalisation in front: its input becomes (n, height, width, 3) uint8, in
    the order of channels that the model reads."""
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    source = steps.input()
    source.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    source.model().set_layout(ov.Layout("NCHW"))
    source.preprocess().convert_element_type(ov.Type.f32).mean([255.0 * x for x in preprocessing.mean]).scale(
        [255.0 * x for x in preprocessing.std]
    )
    return steps.build()


def weight_bytes(model: ov.Model) -> int:
    """Return how many bytes a graph's constants have in float32, however they are kept."""
    return sum(4 * math.prod(op.shape) for op in model.get_ops() if op.get_type_name() == "Constant")
