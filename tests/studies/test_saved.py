"""Saved results come back as they were, and only for the inputs that they were made from."""

import importlib
import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.models.adapt import Reading
from srlongtail.models.catalog import new_model
from srlongtail.models.facts import Provenance
from srlongtail.models.sr_model import SRModel
from srlongtail.models.state import write_state
from srlongtail.studies import saved as saved_module
from srlongtail.studies.saved import FOLDER, Saved, code_sha256, identity


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
    monkeypatch.setattr("srlongtail.studies.saved.versions", lambda: {"torch": "99"})
    assert Saved(tmp_path).result("n", {}, lambda: 2) == 2


def test_one_weight_or_convention_makes_another_model():
    model = new_model("fsrcnn", 4)
    before = identity(model)
    assert identity(model) == before
    model.reading = Reading(value_range=255)
    assert identity(model) != before
    model.reading = Reading()
    with torch.no_grad():
        model.network.tail_conv.bias[0] += 1e-3
    assert identity(model) != before


def test_other_code_leads_to_a_new_result(tmp_path, monkeypatch):
    assert Saved(tmp_path).result("n", {}, lambda: 1) == 1
    monkeypatch.setattr(saved_module, "code_sha256", lambda: "changed")
    assert Saved(tmp_path).result("n", {}, lambda: 2) == 2


def test_code_is_what_results_depend_on(tmp_path, monkeypatch):
    monkeypatch.setattr(saved_module, "_PACKAGE", tmp_path)
    for name in ("stats.py", "models/bsrn.py", "plots/style.py", "cli/main.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x = 1")

    def changes(change):
        before = code_sha256.__wrapped__()
        change()
        return code_sha256.__wrapped__() != before

    assert changes(lambda: (tmp_path / "stats.py").write_text("x = 2"))
    assert changes(lambda: (tmp_path / "models/bsrn.py").rename(tmp_path / "models/carn.py"))
    assert not changes(lambda: (tmp_path / "plots/style.py").write_text("x = 2"))
    assert not changes(lambda: (tmp_path / "cli/main.py").write_text("x = 2"))


def test_what_cannot_be_read_back_is_made_again(tmp_path, result):
    saved = Saved(tmp_path, (Result, Pair))
    saved.result("r", {}, lambda: result)
    assert Saved(tmp_path).result("r", {}, lambda: "no such types any more") != result
    path = tmp_path / FOLDER / "r.safetensors"
    header = saved_module.read_state(path)[1]
    for damaged in (
        {},
        {"key": header["key"]},
        {**header, "result": {"type": "Pair", "fields": {"mapping": [["left", 1]]}}},
        {**header, "result": {"tensor": "absent"}},
        {**header, "result": {"of": "another version"}},
    ):
        write_state(path, {}, damaged)
        assert saved.result("r", {}, lambda: "made again") == "made again"


def test_arguments_and_modules_without_weights_make_another_model():
    def upsample(mode, **provenance):
        return identity(SRModel(torch.nn.Upsample(scale_factor=4, mode=mode), 4, **provenance))

    nearest = upsample("nearest")
    assert upsample("nearest") == nearest
    assert upsample("bilinear") != nearest
    assert upsample("nearest", provenance=Provenance(network="mynet:make")) != nearest
    assert upsample("nearest", provenance=Provenance(arguments={"depth": 2})) != nearest


MINE = """
from torch import nn

def sharpen(lr):
    return 1.5 * lr

class Base(nn.Module):
    def forward(self, lr):
        return nn.functional.interpolate(sharpen(lr), scale_factor=4)

class Mine(Base):
    pass
"""
EDITS = [("1.5 * lr", "1.75 * lr"), ("scale_factor=4", "scale_factor=4, mode='bicubic'")]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_forward_makes_another_model(tmp_path, monkeypatch, edit):
    """Even of a network inside another one, of its base class, and in a function it calls."""
    monkeypatch.syspath_prepend(tmp_path)

    def imported(text):
        (tmp_path / "my_edited_net.py").write_text(text)
        sys.modules.pop("my_edited_net", None)
        importlib.invalidate_caches()
        network = importlib.import_module("my_edited_net").Mine()
        return identity(SRModel(torch.nn.Sequential(network), 4))

    before = imported(MINE)
    assert imported(MINE) == before
    assert imported(MINE.replace(*edit)) != before
    del sys.modules["my_edited_net"]


def test_a_network_typed_into_a_notebook_is_told_by_its_compiled_methods():
    def typed(text):
        names = {"__name__": "a_shell"}
        exec(text, names)
        return identity(SRModel(names["Mine"](), 4))

    before = typed(MINE)
    assert typed(MINE) == before
    assert typed(MINE.replace(*EDITS[1])) != before
