"""Which precision a run has, where it is noted, and that a resumed run keeps it."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from srlongtail.ablation.grids import Grid
from srlongtail.ablation.run import run_grid
from srlongtail.image.dataset import open_data
from srlongtail.models.checkpoint import load_model
from srlongtail.models.facts import Training
from srlongtail.training import precision
from srlongtail.training.interruption import StoppedError
from srlongtail.training.learner import Learner
from srlongtail.training.loop import train
from srlongtail.training.precision import settle_precision, speedup_of_bfloat16
from srlongtail.training.recipe import find_recipe, write_recipe

CPU = torch.device("cpu")


@pytest.fixture
def recipe(recipe):
    return replace(recipe, precision="auto")


@pytest.fixture
def speedup(monkeypatch):
    """Say how much faster bfloat16 is, or, with None, that nobody may ask."""

    def say(times: float | None) -> None:
        def measured(recipe):
            assert times is not None, "a measurement, expected none"
            return times

        monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
        monkeypatch.setattr(precision, "speedup_of_bfloat16", measured)

    return say


def weights(folder):
    state = torch.load(folder / "state.pt", weights_only=True)
    return state["precision"], state["learner"]["model"]


def test_auto_is_what_is_faster_and_says_so(speedup):
    lines, auto = [], find_recipe("fsrcnn-x4")
    speedup(1.4)
    assert settle_precision(auto, CPU, lines.append) == "bfloat16"
    speedup(1.05)
    assert settle_precision(auto, CPU, lines.append) == "float32"
    assert lines == [
        "precision bfloat16: bfloat16 is 1.40 times as fast as float32 here",
        "precision float32: bfloat16 is 1.05 times as fast as float32 here",
    ]
    speedup(None)
    assert settle_precision(replace(auto, precision="bfloat16"), CPU) == "bfloat16"
    assert settle_precision(auto, torch.device("cuda")) == "bfloat16"


def test_a_cpu_without_bfloat16_is_not_measured(speedup, monkeypatch):
    speedup(None)
    monkeypatch.setattr(precision, "has_bfloat16", lambda: False)
    assert settle_precision(find_recipe("fsrcnn-x4"), CPU) == "float32"


def test_the_measurement_leaves_random_numbers_alone(recipe):
    state = torch.get_rng_state()
    assert speedup_of_bfloat16(recipe) > 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.skipif(not precision.has_bfloat16(), reason="CPU without bfloat16 instructions")
def test_where_the_cpu_has_it_bfloat16_is_faster_for_fsrcnn():
    assert speedup_of_bfloat16(find_recipe("fsrcnn-fpl-x4")) > 1.1


@pytest.mark.parametrize("times", [1.4, 0.9])
def test_a_resumed_run_keeps_its_precision_and_ends_in_the_same_bits(
    times, speedup, recipe, tmp_path
):
    lines = []
    speedup(times)
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "run", deadline=0, tell=lines.append)
    expected = "bfloat16" if times > 1 else "float32"
    assert lines[0].startswith(f"precision {expected}: ")
    speedup(None)
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole", precision=expected)
    (one, run), (other, whole) = weights(tmp_path / "run"), weights(tmp_path / "whole")
    assert one == other == expected
    assert all(torch.equal(run[key], whole[key]) for key in run)
    known = load_model(tmp_path / "run/checkpoint.safetensors").provenance.training
    assert known.precision == known.run["precision"] == expected
    assert known.recipe["precision"] == "auto"


def test_bfloat16_is_another_forward_pass_close_to_that_of_float32(recipe):
    lr, hr = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 32, 32)
    losses, gradients = [], []
    for name in ("float32", "bfloat16"):
        learner = Learner(replace(recipe, precision=name), CPU, CPU)
        loss = learner.objective(lr, hr)
        loss.backward()
        assert loss.dtype == torch.float32
        losses.append(loss.item())
        gradients.append(torch.cat([p.grad.flatten() for p in learner.model.parameters()]))
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_a_state_from_before_this_was_noted_goes_on_in_float32(speedup, recipe, tmp_path):
    speedup(None)
    with pytest.raises(StoppedError):
        train(recipe, tmp_path, deadline=0, precision="float32")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["precision"]
    torch.save(state, tmp_path / "state.pt")
    train(recipe, tmp_path, resume=True)
    assert weights(tmp_path)[0] == "float32"


def test_a_file_from_before_this_was_noted_tells_its_precision():
    auto = {"recipe": {"precision": "auto"}}
    assert Training(1, **auto, run={"device": "cpu, 2 threads"}).precision == "float32"
    assert Training(1, **auto, run={"device": "NVIDIA H100"}).precision == "bfloat16"
    assert Training(1, **auto, run={"device": "cpu", "precision": "bfloat16"}).precision
    assert Training(1).precision is None


def test_a_grid_has_one_precision_whatever_is_measured_later(speedup, recipe, data, tmp_path):
    write_recipe(tmp_path / "small.toml", recipe)
    grid = Grid("two", str(tmp_path / "small.toml"), {"fpl": {}}, iterations=2, seeds=(0,))
    images, tests = [str(data / "train")], [open_data(data / "valid")]
    speedup(1.4)
    run_grid(grid, tmp_path / "out", images, tests=tests)
    speedup(None)
    table = run_grid(replace(grid, seeds=(0, 1)), tmp_path / "out", images, tests=tests)
    assert table["precision"].tolist() == ["bfloat16", "bfloat16"]
    (tmp_path / "out/precision.txt").unlink()  # as of a grid from before this was noted
    longer = replace(grid, seeds=(0, 1, 2))
    run_grid(longer, tmp_path / "out", images, tests=tests)
    assert set(pd.read_csv(tmp_path / "out/two.csv")["precision"]) == {"bfloat16"}


def test_a_grid_of_several_precisions_says_so(recipe, data, tmp_path):
    write_recipe(tmp_path / "small.toml", recipe)
    arms = {name: {"precision": name} for name in ("float32", "bfloat16")}
    grid = Grid("mixed", str(tmp_path / "small.toml"), arms, iterations=1, seeds=(0,))
    lines = []
    tests = [open_data(data / "valid")]
    table = run_grid(grid, tmp_path / "out", [str(data / "train")], tests=tests, tell=lines.append)
    assert table["precision"].tolist() == ["float32", "bfloat16"]
    assert lines[-1] == "mixed: runs of several precisions, see the column of that name"
