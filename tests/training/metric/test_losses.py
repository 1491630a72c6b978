from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from vitrine.services.errors import BadRequest
from vitrine.training.metric.losses import batch_shape, batches, make_loss
from vitrine.training.metric.options import LOSSES, loss_name

CLASSES, DIM = 3, 6
LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])


def rows(spread: float) -> torch.Tensor:
    """Three to a class around an axis of the class's own; ``spread`` 0 is a perfect embedding."""
    torch.manual_seed(1)
    centres = torch.eye(CLASSES, DIM)[LABELS]
    return torch.nn.functional.normalize(
        centres + spread * torch.randn(len(LABELS), DIM), dim=-1
    ).requires_grad_()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_finite_and_smaller_where_classes_lie_together(name):
    torch.manual_seed(0)
    loss = make_loss(name, CLASSES, DIM)
    if loss.parameters():
        with torch.no_grad():  # proxies where the classes are
            weight = loss.parameters()[0]
            weight.copy_(torch.eye(CLASSES, DIM).T if weight.shape[0] == DIM else torch.eye(CLASSES, DIM))
    good, bad, worst = rows(0.05), rows(0.6), rows(5.0)
    values = [float(loss(some, LABELS).detach()) for some in (good, bad, worst)]
    assert np.isfinite(values).all()
    # the mean over semihard triplets, and over violating pairs alone, need not fall between two bad
    # embeddings
    assert values[0] < max(values[1:])
    loss(worst, LABELS).backward()
    assert torch.isfinite(worst.grad).all()


def test_the_library_computes_the_formula_of_supcon():
    some = rows(0.5).detach()
    similarities = (some @ some.T / 0.1).double()
    terms = []
    for i in range(9):
        others = [j for j in range(9) if j != i]
        whole = torch.logsumexp(similarities[i, others], dim=0)
        terms.append(-np.mean([float(similarities[i, j] - whole) for j in others if LABELS[j] == LABELS[i]]))
    assert float(make_loss("supcon", CLASSES, DIM)(some, LABELS)) == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("circleloss", "CircleLoss"),
        ("Circle", "CircleLoss"),
        ("multi-similarity", "MultiSimilarity"),
        ("NT_Xent", "NTXent"),
        (" SUPCONLOSS ", "SupCon"),
        ("proxy anchor", "ProxyAnchor"),
        ("ArcFaceLoss", "ArcFace"),
        ("Triplet", "Triplet"),
    ],
)
def test_names_are_read_generously(given, known):
    assert loss_name(given) == known
    assert make_loss(given, 2, 4).name == known


def test_an_unknown_loss_is_told_with_the_known_ones():
    with pytest.raises(BadRequest) as caught:
        make_loss("softmax", 2, 4)
    assert all(name in caught.value.message for name in LOSSES)


def test_only_losses_of_pairs_are_mined():
    mined = {name for name in LOSSES if make_loss(name, 2, 4).miner is not None}
    assert mined == {"MultiSimilarity", "Triplet", "Contrastive"}


def test_proxies_learn_faster_and_do_not_decay():
    for name in LOSSES:
        groups = make_loss(name, 5, 4).parameter_groups(0.001)
        assert bool(groups) == (name in ("ProxyAnchor", "ArcFace"))
        for group in groups:
            assert (group["lr"], group["weight_decay"]) == (pytest.approx(0.01), 0.0)
            assert sum(value.numel() for value in group["params"]) == 20


def test_every_batch_has_so_many_of_each_of_its_classes():
    labels = np.repeat(np.arange(5), [40, 3, 20, 7, 10])
    found = list(batches(labels, 12, 4, (0, 1)))
    assert len(found) == -(-len(labels) // 12)
    for batch in found:
        values, counts = np.unique(labels[batch], return_counts=True)
        assert len(values) == 3 and set(counts) == {4}
    large = [batch[labels[batch] == 0] for batch in found]
    assert all(len(set(some)) == len(some) for some in large)


def test_the_same_seed_gives_the_same_epoch_and_the_global_stream_is_untouched():
    labels = np.repeat(np.arange(4), 10)
    np.random.seed(3)
    expected = np.random.rand()
    np.random.seed(3)
    first = list(batches(labels, 16, 4, (7, 1)))
    assert np.random.rand() == expected
    np.testing.assert_array_equal(first, list(batches(labels, 16, 4, (7, 1))))
    assert not np.array_equal(first, list(batches(labels, 16, 4, (7, 2))))


@pytest.mark.parametrize(
    ("classes", "size", "m", "expected"),
    [(10, 128, 16, 128), (10, 256, 16, 160), (3, 128, 4, 12), (10, 4, 4, 8), (10, 30, 4, 32)],
)
def test_batches_are_what_the_classes_can_fill(classes, size, m, expected):
    assert batch_shape(classes, size, m) == expected
