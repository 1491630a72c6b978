"""One side of an encoder, compiled by OpenVINO when it is first asked for anything."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitrine.services.domain import Embeddings, Preprocessing
from vitrine.services.encoders.base import Begun, done
from vitrine.services.encoders.precision import Precision

if TYPE_CHECKING:
    import openvino as ov

_HINTS: Mapping[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
"""Of the parts of a quantised graph that are not in int8, too."""
_PLACES = 2
"""Passes a stream: the one that runs and the one that is next."""
Inputs = Sequence[NDArray[Any]] | NDArray[Any]


@dataclass(frozen=True)
class Streams:
    """How a tower shares the cores: ``count`` passes run at once, each on one thread and over at most
    ``slices`` inputs, by number format.

    Passes of one thread never wait for each other, so work elsewhere on the machine slows them down by its
    share alone; a pass on all cores waits for the slowest of them after each layer.

    ``few``: fewer inputs than this go one by one, until more have been asked for at once. OpenVINO packs a
    large network's weights once for single inputs and once more for several, as each kind is first met; a
    process that answers queries then holds only the first, one that indexes only the second. Until then there
    is one stream: each further one holds the graph once more, 20 MB of a ViT-B/32 without its weights.
    """

    count: int
    slices: Mapping[Precision, int]
    few: Mapping[Precision, int] = field(default_factory=dict)

    def at_once(self, precision: Precision, *, several: bool) -> int:
        """Return how many passes run at once. ``several``: as in ``cut``."""
        return 1 if self.few.get(precision, 0) and not several else self.count

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

    Compiled in ``precision`` when it is first asked for anything. Not thread-safe; waiting for a pass
    releases the interpreter lock.
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
        self._several = False
        self._compiled = 0  # for so many passes at once
        self._idle: list[Any] = []
        self._under_way: deque[_Pass] = deque()

    @property
    def model(self) -> ov.Model:
        """The graph that it runs."""
        return self._model

    def on(self, model: ov.Model) -> Tower:
        """Return a tower that runs another graph of the same input and output."""
        return Tower(model, self._dim, self._streams)

    def round_to(self, precision: Precision) -> None:
        """Compute in this number format from now on; what was compiled for another is given up."""
        if precision == self._precision:
            return
        while self._under_way:
            self._end_oldest()
        self._precision, self._several, self._compiled, self._idle = precision, False, 0, []

    def __call__(self, inputs: Inputs) -> Embeddings:
        """Return (n, dim) float32, row i for input i. All inputs have the same shape and type."""
        return self.begin(inputs).rows()

    def begin(self, inputs: Inputs) -> Begun:
        """Start passes over all inputs, and return before the last of them have ended.

        Each stream has a second pass waiting, so that none stands still while the next inputs are stacked;
        where all places are taken this waits for the oldest pass, of whichever call.
        """
        if not len(inputs):
            return done(np.empty((0, self._dim), np.float32))
        sizes = self._streams.cut(len(inputs), self._precision, several=self._several)
        several = self._several or max(sizes) > 1
        packs = not self._compiled or several != self._several
        self._compile(self._streams.at_once(self._precision, several=several))
        self._several = several
        task = _Task(np.empty((len(inputs), self._dim), np.float32), packs)
        for end, size in zip(np.cumsum(sizes), sizes, strict=True):
            part = np.stack(list(inputs[end - size : end]))
            if not self._idle:
                self._end_oldest()
            request = self._idle.pop()
            try:
                request.start_async({0: part}, share_inputs=True)
            except BaseException:
                self._idle.append(request)
                raise
            task.left += 1
            self._under_way.append(_Pass(request, part, task, int(end) - size))
        return Begun(lambda: not task.left, partial(self._advance, task), partial(self._rows, task))

    def _advance(self, task: _Task) -> None:
        if task.left:
            self._end_oldest()

    def _rows(self, task: _Task) -> Embeddings:
        while task.left:
            self._end_oldest()
        if task.error is not None:
            raise task.error
        if task.packs and self._release:
            self._release()
            task.packs = False
        return task.rows

    def _end_oldest(self) -> None:
        """Wait for the pass that was started first, and keep its rows, or its error, where they belong."""
        ended = self._under_way.popleft()
        task = ended.task
        try:
            ended.request.wait()
            found = ended.request.get_output_tensor(0).data
            task.rows[ended.first : ended.first + len(found)] = found
        except Exception as error:  # openvino raises RuntimeError and others
            task.error = task.error or error
        finally:
            task.left -= 1
            self._idle.append(ended.request)

    def _compile(self, count: int) -> None:
        """Compile for ``count`` passes at once, unless that is done."""
        if count == self._compiled:
            return
        while self._under_way:
            self._end_oldest()
        self._compiled, self._idle = 0, []  # given up first: both would hold packed weights
        import openvino as ov

        compiled = ov.Core().compile_model(
            self._model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
                "NUM_STREAMS": count,
                "INFERENCE_NUM_THREADS": count,
                # pinned threads stay on a core that other work has taken
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._idle = [compiled.create_infer_request() for _ in range(_PLACES * count)]
        self._compiled = count


@dataclass(eq=False)
class _Task:
    """The inputs of one call: their ``rows`` so far, how many passes are ``left``, and the first error."""

    rows: Embeddings
    packs: bool
    left: int = 0
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class _Pass:
    """A pass under way, over the inputs from ``first`` on. ``part`` is read in place, so it is kept."""

    request: Any
    part: NDArray[Any]
    task: _Task
    first: int


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
