"""Saved results come back as they were, and only for the inputs that they were made from."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.models.catalog import new_model
from srlongtail.paper.saved import FOLDER, Saved, identity


class Pair(NamedTuple):
    left: int
    right: torch.Tensor


@dataclass(frozen=True)
class Result:
    name: str
    pair: Pair
    counts: dict[str, np.ndarray]
    table: pd.DataFrame
    parts: tuple[object, ...]


@pytest.fixture
def result():
    right = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)).double().T  # no copy
    table = pd.DataFrame({"model": ["a", "b"], "psnr_db": [0.1, 1 / 3], "images": [1, 2]})
    return Result("r", Pair(1, right), {"n": np.arange(3)}, table, (1.5, None, [True, "x"]))


def test_a_result_comes_back_as_it_was(tmp_path, result):
    saved = Saved(tmp_path, (Result, Pair))
    assert saved.result("r", {}, lambda: result) is result
    back = saved.result("r", {}, pytest.fail)
    assert (type(back), type(back.pair), back.name) == (Result, Pair, "r")
    assert torch.equal(back.pair.right, result.pair.right)
    assert back.pair.right.dtype == torch.float64
    assert (back.counts["n"] == result.counts["n"]).all()
    assert back.counts["n"].dtype == np.int64
    pd.testing.assert_frame_equal(back.table, result.table)
    assert back.parts == result.parts


def test_other_inputs_force_and_damage_lead_to_a_new_result(tmp_path):
    saved, count = Saved(tmp_path), iter(range(10))

    def ask(key, saved=saved):
        return saved.result("n", key, lambda: next(count))

    assert [ask({"image": "a"}), ask({"image": "a"})] == [0, 0]
    assert [ask({"image": "b"}), ask({"image": "b"})] == [1, 1]
    assert ask({"image": "b"}, Saved(tmp_path, force=True)) == 2
    (tmp_path / FOLDER / "n.safetensors").write_bytes(b"damaged")
    assert [ask({"image": "b"}), ask({"image": "b"})] == [3, 3]


def test_other_versions_lead_to_a_new_result(tmp_path, monkeypatch):
    assert Saved(tmp_path).result("n", {}, lambda: 1) == 1
    monkeypatch.setattr("srlongtail.paper.saved.versions", lambda: {"torch": "99"})
    assert Saved(tmp_path).result("n", {}, lambda: 2) == 2


def test_one_weight_or_convention_makes_another_model():
    model = new_model("fsrcnn", 4)
    before = identity(model)
    assert identity(model) == before
    model.value_range = 255.0
    assert identity(model) != before
    model.value_range = 1.0
    with torch.no_grad():
        model.network.tail_conv.bias[0] += 1e-3
    assert identity(model) != before
