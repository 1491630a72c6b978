"""One thread owns the model; everyone else may call it.

Requests that arrive while the model runs form its next batch, so nobody waits for a batch to fill: an idle
model starts at once. A request larger than a batch goes slice by slice, to the back of the queue after each,
so an indexer's thousand images delay a single query by one slice at most.

An encoder that computes on threads of its own (``FedEncoder``) gets the next slice before it is done with the
last one, so that its threads never wait for pixels.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vitrine.services.domain import Embeddings, EncoderSpec
from vitrine.services.encoders.base import Begun, Encoder, TextEncoder, done
from vitrine.services.encoders.preprocess import Pixels
from vitrine.services.errors import BadRequest, Unavailable, UnsupportedQuery, VitrineError, because

Prepared = Pixels | Image.Image
"""An image ready for its encoder: fitted pixels, or the image itself where the encoder fits it."""


_SMALL_SHARE = 4
"""A request of up to this part of a batch is small: it may share one."""


@runtime_checkable
class StagedEncoder(Encoder, Protocol):
    """An encoder whose fitting (resize, crop) may run on other threads than the model's."""

    def prepare(self, image: Image.Image) -> Pixels: ...

    def encode_pixels(self, pixels: Sequence[Pixels]) -> Embeddings: ...


@runtime_checkable
class FedEncoder(StagedEncoder, Protocol):
    """A StagedEncoder that can begin with pixels before it is done with earlier ones. What was begun first
    ends first."""

    def begin_pixels(self, pixels: Sequence[Pixels]) -> Begun: ...


Begin = Callable[[Sequence[Any]], Begun]


@dataclass(eq=False)
class _Request:
    """Inputs of one caller: ``begun`` of them were given to the model, ``parts`` are the rows so far."""

    begin: Begin
    inputs: Sequence[Any]
    answer: Future[Embeddings] = field(default_factory=Future)
    parts: list[Embeddings] = field(default_factory=list)
    begun: int = 0

    @property
    def left(self) -> int:
        """How many inputs the model has not been given yet."""
        return len(self.inputs) - self.begun

    def next(self, most: int) -> Sequence[Any]:
        """Return the inputs that come next, at most so many, as begun from now on."""
        first, self.begun = self.begun, min(self.begun + most, len(self.inputs))
        return self.inputs[first : self.begun]

    def take(self, rows: Embeddings) -> None:
        """Keep the next rows; with the last ones the caller is answered."""
        self.parts.append(rows)
        if not self.answer.done() and sum(map(len, self.parts)) == len(self.inputs):
            self.answer.set_result(self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts))

    def fail(self, error: BaseException) -> None:
        """Answer with an error, unless an earlier slice has done so."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, eq=False)
class _Slice:
    """The inputs of one or several requests that the model gets at once."""

    parts: list[tuple[_Request, Sequence[Any]]]

    def begin(self) -> Begun:
        """Give them to the model."""
        return self.parts[0][0].begin(list(chain.from_iterable(inputs for _, inputs in self.parts)))

    def take(self, rows: Embeddings) -> None:
        """Give each request its rows."""
        ends = np.cumsum([len(inputs) for _, inputs in self.parts])
        for (request, _), part in zip(self.parts, np.split(rows, ends[:-1]), strict=True):
            request.take(part)


class BatchedEncoder:
    """An Encoder and TextEncoder that any thread may call, over one that only its own thread may.

    ``max_batch`` is the largest number of inputs the model gets at once. An error reaches only the caller
    whose input caused it. After ``close`` every call raises Unavailable.
    """

    def __init__(self, encoder: Encoder, max_batch: int = 32) -> None:
        if max_batch < 1:
            raise ValueError("max_batch is at least 1")
        self._encoder = encoder
        self._max_batch = max_batch
        self._staged = encoder if isinstance(encoder, StagedEncoder) else None
        self._begin_images = _begin_images(encoder)
        self._begin_texts = _at_once(encoder.encode_texts) if isinstance(encoder, TextEncoder) else None
        self._open: set[_Request] = set()
        self._queue: deque[_Request] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=f"encoder-{encoder.spec.name}", daemon=True)
        self._thread.start()

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def pending(self) -> int:
        """Requests that wait or are under way."""
        with self._changed:
            return len(self._open)

    def prepare(self, image: Image.Image) -> Prepared:
        """Fit one RGB image on the calling thread, for ``encode_prepared``: a pool of decoding threads shares
        the resizing."""
        return self._staged.prepare(image) if self._staged is not None else image

    def encode_prepared(self, images: Sequence[Prepared]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i; blocks until done. Raises what the model
        raises."""
        return self._ask(self._begin_images, images)

    def encode_images(self, images: Sequence[Image.Image]) -> Embeddings:
        """As ``encode_prepared``, from RGB images of any size, fitted on the calling thread; ``Unavailable``
        where it fails."""
        with self._own_errors():
            return self.encode_prepared([self.prepare(image) for image in images])

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for text i.

        Raises UnsupportedQuery for an encoder of images alone, BadRequest for text that is not valid Unicode,
        Unavailable where the model fails.
        """
        if self._begin_texts is None:
            raise UnsupportedQuery(
                f"The encoder {self.spec.name} takes images, not texts: search by image, or use a CLIP model."
            )
        try:
            "".join(texts).encode()
        except UnicodeEncodeError as error:
            raise BadRequest(
                "The text holds half a character (a lone surrogate): send valid Unicode."
            ) from error
        with self._own_errors():
            return self._ask(self._begin_texts, texts)

    def close(self) -> None:
        """Stop the thread after what is under way; waiting callers get Unavailable. A second call does
        nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _ask(self, begin: Begin, inputs: Sequence[Any]) -> Embeddings:
        request = _Request(begin, inputs)
        with self._changed:
            if self._closed:
                raise self._closed_error()
            if not len(inputs):
                return np.empty((0, self.spec.dim), np.float32)
            self._open.add(request)
            self._queue.append(request)
            self._changed.notify_all()
        return request.answer.result()

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Turn what the model's libraries raise into one of Vitrine's errors."""
        try:
            yield
        except VitrineError:
            raise
        except Exception as error:
            raise Unavailable(
                f"The encoder {self.spec.name} failed on what it was given ({because(error)}). "
                "`vitrine encoder check` shows whether it works here.",
                encoder=self.spec.name,
            ) from error

    def _work(self) -> None:
        under_way: deque[tuple[_Slice, Begun]] = deque()
        while True:
            with self._changed:
                if not under_way:
                    self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    break
                some, small = self._next_slice()
            if some is not None:
                self._begin(some, under_way)
            else:  # one pass at a time: whoever asks meanwhile is begun with next
                under_way[0][1].advance()
            # a small one is answered before anything else is begun, a large one before the next but one
            self._end(under_way, 0 if small else 1)
            with self._changed:
                self._open = {request for request in self._open if not request.answer.done()}
                self._queue = deque(request for request in self._queue if request in self._open)
                unbegun = [request for request, _ in some.parts if request.left] if some is not None else []
                self._queue.extend(request for request in unbegun if request in self._open)
        self._end(under_way, 0)
        for request in self._open:
            request.fail(self._closed_error())

    def _next_slice(self) -> tuple[_Slice | None, bool]:
        """Return the next inputs of the first request, and whether they are small; where they are, with all
        other small requests of its kind that fit.

        A large one runs alone: a query that shared its batch with an indexer's slice would take as long as
        the slice.
        """
        if not self._queue:
            return None, False
        first, limit = self._queue[0], max(1, self._max_batch // _SMALL_SHARE)
        small, room = first.left <= limit, self._max_batch - first.left
        chosen = [first]
        for request in list(self._queue)[1:] if small else ():
            if request.begin is first.begin and request.left <= min(limit, room):
                chosen.append(request)
                room -= request.left
        for request in chosen:
            self._queue.remove(request)
        return _Slice([(request, request.next(self._max_batch)) for request in chosen]), small

    def _begin(self, some: _Slice, under_way: deque[tuple[_Slice, Begun]]) -> None:
        try:
            under_way.append((some, some.begin()))
        except BaseException as error:
            self._end(under_way, 0)  # each caller's rows stay in order
            self._fail(some, error)

    def _end(self, under_way: deque[tuple[_Slice, Begun]], keep: int) -> None:
        """Answer what has ended, and wait for the oldest until at most ``keep`` are under way."""
        while under_way and (len(under_way) > keep or under_way[0][1].ended()):
            some, begun = under_way.popleft()
            try:
                rows = begun.rows()
                self._check(rows, sum(len(inputs) for _, inputs in some.parts))
                some.take(rows)
            except BaseException as error:
                self._fail(some, error)

    def _fail(self, some: _Slice, error: BaseException) -> None:
        """Answer a request with its error. Of several one is to blame: each is done on its own."""
        if len(some.parts) == 1:
            some.parts[0][0].fail(error)
            return
        for part in some.parts:
            alone: deque[tuple[_Slice, Begun]] = deque()
            self._begin(_Slice([part]), alone)
            self._end(alone, 0)

    def _check(self, rows: Embeddings, count: int) -> None:
        if rows.shape != (count, self.spec.dim):
            raise ValueError(
                f"encoder {self.spec.name} gave {rows.shape} for {count} inputs of dimension {self.spec.dim}"
            )

    def _closed_error(self) -> Unavailable:
        return Unavailable(f"The encoder {self.spec.name} is closed: the service is shutting down.")


def _begin_images(encoder: Encoder) -> Begin:
    if isinstance(encoder, FedEncoder):
        return encoder.begin_pixels
    return _at_once(encoder.encode_pixels if isinstance(encoder, StagedEncoder) else encoder.encode_images)


def _at_once(run: Callable[[Sequence[Any]], Embeddings]) -> Begin:
    return lambda inputs: done(run(inputs))
