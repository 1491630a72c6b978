from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

import torch
from safetensors import safe_open

from vitrine.services.errors import BadRequest
from vitrine.training.metric.checkpoints import clear, load_best, load_state, read_tree, save_state


def trained(steps: int):
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(
        [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias], "weight_decay": 0.0}],
        lr=0.01,
    )
    for _ in range(steps):
        optimizer.zero_grad()
        layer(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    return layer, optimizer


def step(layer, optimizer):
    optimizer.zero_grad()
    layer(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def test_weights_optimizer_and_tree_come_back(tmp_path):
    layer, optimizer = trained(5)
    save_state(
        tmp_path,
        layer.state_dict(),
        optimizer,
        {"epoch": 5, "history": [{"loss": 0.25}]},
        best={"a": torch.ones(2)},
    )
    other, again = trained(0)
    weights, tree = load_state(tmp_path, again)
    other.load_state_dict(weights)
    assert tree == {"epoch": 5, "history": [{"loss": 0.25}]}
    assert read_tree(tmp_path)["epoch"] == 5
    torch.testing.assert_close(load_best(tmp_path), {"a": torch.ones(2)})
    for _ in range(3):
        step(layer, optimizer)
        step(other, again)
    torch.testing.assert_close(other.state_dict(), layer.state_dict(), rtol=0, atol=0)


def test_a_checkpoint_is_tensors_and_json_alone(tmp_path):
    layer, optimizer = trained(1)
    save_state(tmp_path, layer.state_dict(), optimizer, {"epoch": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    with safe_open(tmp_path / "state.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["tree"])["epoch"] == 1


def test_missing_damaged_and_foreign_checkpoints_are_bad_requests(tmp_path):
    layer, optimizer = trained(1)
    assert read_tree(tmp_path) is None
    with pytest.raises(BadRequest, match="no usable checkpoint"):
        load_state(tmp_path, optimizer)
    save_state(tmp_path, layer.state_dict(), optimizer, {})
    with pytest.raises(BadRequest, match="another model"):
        load_state(tmp_path, torch.optim.AdamW(layer.parameters()))
    (tmp_path / "state.safetensors").write_bytes(b"\0" * 9)
    with pytest.raises(BadRequest):
        read_tree(tmp_path)


def test_clearing_leaves_nothing_and_takes_nothing_else(tmp_path):
    layer, optimizer = trained(1)
    run = tmp_path / "run"
    save_state(run, layer.state_dict(), optimizer, {}, best=layer.state_dict())
    clear(run)
    assert not run.exists()
    clear(run)
    save_state(run, layer.state_dict(), optimizer, {})
    (run / "mine.txt").write_text("mine")
    clear(run)
    assert [path.name for path in run.iterdir()] == ["mine.txt"]
