"""One thread owns the model; everyone else may call it.

Requests that arrive while the model runs form its next batch, so nobody waits for a batch to fill: an idle
model starts at once. A request larger than a batch goes slice by slice, to the back of the queue after each,
so an indexer's thousand images delay a single query by one slice at most.
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
from vitrine.services.encoders.base import Encoder, TextEncoder
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


@dataclass(eq=False)
class _Request:
    """Inputs of one caller; ``parts`` are the rows done so far."""

    run: Callable[[Sequence[Any]], Embeddings]
    inputs: Sequence[Any]
    answer: Future[Embeddings] = field(default_factory=Future)
    parts: list[Embeddings] = field(default_factory=list)
    done: int = 0

    @property
    def left(self) -> int:
        return len(self.inputs) - self.done

    def take(self, rows: Embeddings) -> None:
        """Keep the next rows; with the last ones the caller is answered."""
        self.parts.append(rows)
        self.done += len(rows)
        if not self.left:
            self.answer.set_result(self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts))


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
        self._run_images: Callable[[Sequence[Any]], Embeddings] = (
            self._staged.encode_pixels if self._staged is not None else encoder.encode_images
        )
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
            return len(self._queue)

    def prepare(self, image: Image.Image) -> Prepared:
        """Fit one RGB image on the calling thread, for ``encode_prepared``: a pool of decoding threads shares
        the resizing."""
        return self._staged.prepare(image) if self._staged is not None else image

    def encode_prepared(self, images: Sequence[Prepared]) -> Embeddings:
        """Return (n, dim) float32, L2-normalised, row i for image i; blocks until done. Raises what the model
        raises."""
        return self._ask(self._run_images, images)

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
        if not isinstance(self._encoder, TextEncoder):
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
            return self._ask(self._encoder.encode_texts, texts)

    def close(self) -> None:
        """Stop the thread after the batch under way; waiting callers get Unavailable. A second call does
        nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _ask(self, run: Callable[[Sequence[Any]], Embeddings], inputs: Sequence[Any]) -> Embeddings:
        request = _Request(run, inputs)
        with self._changed:
            if self._closed:
                raise self._closed_error()
            if not len(inputs):
                return np.empty((0, self.spec.dim), np.float32)
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
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    waiting, self._queue = self._queue, deque()
                    break
                batch = self._next_batch()
            self._run(batch)
            with self._changed:
                for request in batch:
                    self._queue.remove(request)
                    if not request.answer.done():
                        self._queue.append(request)
        for request in waiting:
            request.answer.set_exception(self._closed_error())

    def _next_batch(self) -> list[_Request]:
        """Return the first request; where it is small, with all other small ones of its kind that fit.

        A large one runs alone: a query that shared its batch with an indexer's slice would take as long as
        the slice.
        """
        first, small = self._queue[0], max(1, self._max_batch // _SMALL_SHARE)
        batch, room = [first], self._max_batch - first.left
        for request in list(self._queue)[1:] if first.left <= small else ():
            if request.run == first.run and request.left <= min(small, room):
                batch.append(request)
                room -= request.left
        return batch

    def _run(self, batch: list[_Request]) -> None:
        try:
            counts = [min(request.left, self._max_batch) for request in batch]
            slices = [
                request.inputs[request.done : request.done + count]
                for request, count in zip(batch, counts, strict=True)
            ]
            rows = batch[0].run(slices[0] if len(batch) == 1 else list(chain(*slices)))
            self._check(rows, sum(counts))
            for request, part in zip(batch, np.split(rows, np.cumsum(counts)[:-1]), strict=True):
                request.take(part)
        except BaseException as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for request in batch:  # one of them is to blame: each on its own, the others get their rows
                self._run([request])

    def _check(self, rows: Embeddings, count: int) -> None:
        if rows.shape != (count, self.spec.dim):
            raise ValueError(
                f"encoder {self.spec.name} gave {rows.shape} for {count} inputs of dimension {self.spec.dim}"
            )

    def _closed_error(self) -> Unavailable:
        return Unavailable(f"The encoder {self.spec.name} is closed: the service is shutting down.")
