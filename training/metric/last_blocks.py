"""Cut a trunk in two: blocks that stay as they are, and the last ones, which are trained.

Nothing is known of single models. The blocks are the outermost list of equal modules; the cut is made by
hooks on the first trained block, so the model's own forward decides what comes after it (norms, pooling,
projection).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from vitrine.services.encoders.torch_encoder import is_convolutional, slice_for
from vitrine.services.errors import BadRequest
from vitrine.services.extras import from_extra
from vitrine.training.metric.augment import output_size

with from_extra("train"):
    import torch
    from torch import nn

_SMALL = 32


class _Reached(Exception):
    """Carries the input of the first trained block out of the model's forward."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden = hidden


class SplitTrunk:
    """A trunk in two parts: ``tail(front(batch))`` is ``encoder.features(batch)``, and only the tail is
    trained.

    ``encoder``: a TorchEncoder in float32 on a model of transformers. ``blocks`` (at least 1): how many of
    the last blocks are trained, with all that comes after them; 0 trains the whole. ``BadRequest`` for more
    than there are. Batch normalisation and dropout stay as in service (the model is in eval mode): statistics
    of small batches would replace the statistics of the pretraining.
    """

    def __init__(self, encoder: Any, blocks: int) -> None:
        self._encoder = encoder
        self.device: str = encoder.device
        self.model: nn.Module = encoder.model
        self.slice = slice_for(self.model, self.device)
        """Images that ``front`` takes at a time at best."""
        self._parent, self._name, every = find_blocks(self.model)
        if not 0 <= blocks <= len(every):
            raise BadRequest(
                f"--blocks {blocks}: this trunk has {len(every)} blocks to choose from.", blocks=len(every)
            )
        self._every, self._last = every, every[len(every) - blocks :] if blocks else every
        self._blocks = blocks
        height, width = output_size(encoder.spec.preprocessing)
        if is_convolutional(self.model):
            height = width = _SMALL
        self._dummy = torch.zeros(1, 3, height, width, device=encoder.device)
        self.trained = self._find_trained()
        for parameter in self.trained.values():
            parameter.requires_grad_(True)

    def front(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the input of the first trained block, without gradients, for a normalised batch (n, 3,
        height, width)."""
        if not self._blocks:
            return batch

        def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        handle = self._last[0].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                self._encoder.features(batch)
        except _Reached as reached:
            return reached.hidden
        finally:
            handle.remove()
        raise AssertionError("the model did not run its last blocks")

    def tail(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return features (n, dim) of any norm, with gradients, from the output of ``front``.

        The model runs on one black picture through its first layers; the first trained block then gets
        ``hidden`` instead.
        """
        if not self._blocks:
            return cast(torch.Tensor, self._encoder.features(hidden))

        def swap(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        handle = self._last[0].register_forward_pre_hook(swap, with_kwargs=True)
        try:
            with self._only_last():
                return cast(torch.Tensor, self._encoder.features(self._dummy))
        finally:
            handle.remove()

    @contextmanager
    def _only_last(self) -> Iterator[None]:
        setattr(self._parent, self._name, nn.ModuleList(self._last))
        try:
            yield
        finally:
            setattr(self._parent, self._name, self._every)

    def _find_trained(self) -> dict[str, nn.Parameter]:
        """Return the parameters by name that get a gradient through the tail."""
        height, width = output_size(self._encoder.spec.preprocessing)
        picture = torch.zeros(1, 3, height, width, device=self._dummy.device)
        named = dict(self.model.named_parameters())
        with _all_trainable(named):
            features = self.tail(self.front(picture))
            gradients = torch.autograd.grad(features.sum(), list(named.values()), allow_unused=True)
        return {
            name: value
            for (name, value), gradient in zip(named.items(), gradients, strict=True)
            if gradient is not None
        }


def find_blocks(model: nn.Module) -> tuple[nn.Module, str, nn.ModuleList]:
    """Find the outermost list of at least two equal modules on the images' side: its parent, its name there,
    the list. ``BadRequest`` if there is none."""
    side: nn.Module = getattr(model, "vision_model", model)
    waiting: list[nn.Module] = [side]
    while waiting:
        parent = waiting.pop(0)
        for name, child in parent.named_children():
            if (
                isinstance(child, nn.ModuleList)
                and len(child) > 1
                and len({type(part) for part in child}) == 1
            ):
                return parent, name, child
            waiting.append(child)
    raise BadRequest("The blocks of this trunk are not known: train it with --mode frozen or --mode whole.")


@contextmanager
def _all_trainable(named: dict[str, nn.Parameter]) -> Iterator[None]:
    before = {name: value.requires_grad for name, value in named.items()}
    for value in named.values():
        value.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        for name, value in named.items():
            value.requires_grad_(before[name])
