"""The bench for losses: its plan, that losses start alike, and its tables."""

import json
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from srlongtail.ablation.losses import (
    COLUMNS,
    GRADIENT_COLUMNS,
    LossGrid,
    Stage,
    loss_grid,
    run_losses,
)
from srlongtail.errors import InputError
from srlongtail.image.dataset import open_data, photos
from srlongtail.longtail.bands import measure_bands
from srlongtail.losses.catalog import LOSSES
from srlongtail.metrics import PAPER
from srlongtail.models.checkpoint import load_model
from srlongtail.training.interruption import StoppedError
from srlongtail.training.learner import Learner
from srlongtail.training.recipe import write_recipe

CPU = torch.device("cpu")


def test_the_plan_begins_with_what_tells_most():
    runs = list(loss_grid().runs())
    core = ["l1", "l1-perturbed", "fpl", "static", "fpl-shuffled", "sobel"]
    assert [run.loss for run in runs[:12]] == core * 2
    counts = Counter((run.loss, run.recipe.iterations) for run in runs)
    assert counts["l1", 4000] == counts["l1-perturbed", 4000] == 12
    assert {counts[loss, 4000] for loss in core[2:]} == {10}
    assert {counts[loss, 4000] for loss in LOSSES.keys() - set(core)} == {5}
    assert counts["l1", 6000] == counts["l1", 8000] == 5
    assert [counts[loss, 16000] for loss in ("l1", "fpl", "static")] == [3, 3, 3]
    assert len({run.recipe.name for run in runs}) == len(runs)
    assert all(run.recipe.skip and run.recipe.hold_out for run in runs)
    assert {run.recipe.perturbation for run in runs if run.loss == "l1-perturbed"} == {1e-6}
    assert {run.recipe.loss_name for run in runs} == set(LOSSES)


def test_chosen_losses_run_beside_l1():
    runs = list(loss_grid(losses=["sobel", "error-power(power=0.2)"], seeds=(3,)).runs())
    assert [(run.loss, run.recipe.iterations) for run in runs] == [
        ("l1", 4000),
        ("l1-perturbed", 4000),
        ("sobel", 4000),
        ("error-power(power=0.2)", 4000),
        ("l1", 6000),
        ("l1", 8000),
    ]
    assert runs[3].recipe.name == "error-power_power_0.2-seed3"
    with pytest.raises(InputError, match="loss 'sobell': unknown name, did you mean"):
        loss_grid(losses=["sobell"])


def test_all_losses_of_a_seed_have_the_same_initial_weights_and_patches(small):
    """After an iteration, too: a control that draws random numbers must not take the patches'."""
    lr, hr = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 32, 32)
    base = replace(small, static=False, learnable=False, hold_out=True)
    grid = LossGrid(base, (Stage(("l1", "l1-perturbed", *list(LOSSES)[1:]), (7,)),))
    starts, states = [], []
    for run in grid.runs():
        learner = Learner(run.recipe, CPU, CPU)
        starts.append(torch.cat([p.detach().flatten() for p in learner.model.parameters()]))
        learner.objective(lr, hr).backward()
        states.append(learner.generator.get_state())
    reference, perturbed, *others = starts
    assert all(torch.equal(start, reference) for start in others)
    assert all(torch.equal(state, states[0]) for state in states)
    assert not torch.equal(perturbed, reference)
    torch.testing.assert_close(perturbed, reference, rtol=1e-5, atol=0)


@pytest.fixture
def grid(recipe, tmp_path):
    """L1, perturbed L1 and Sobel with two seeds, and L1 for longer, of the small run."""
    write_recipe(tmp_path / "small.toml", replace(recipe, static=False, learnable=False, data=()))
    return loss_grid(str(tmp_path / "small.toml"), losses=["sobel"], seeds=(0, 1), iterations=2)


@pytest.fixture
def no_photos(monkeypatch):
    """One of the photos instead of all four: quicker."""
    monkeypatch.setattr("srlongtail.ablation.losses.photos", lambda *args: photos(*args)[1:2])


@pytest.mark.usefixtures("no_photos")
def test_the_tables(grid, data, tmp_path):
    tests = [open_data(data / "valid")]
    table = run_losses(grid, tmp_path / "out", [str(data / "train")], tests=tests)
    assert tuple(table.columns) == COLUMNS
    runs = table[["loss", "seed", "iterations"]].drop_duplicates().values.tolist()
    expected = [[loss, seed, 2] for seed in (0, 1) for loss in ("l1", "l1-perturbed", "sobel")]
    assert runs == [*expected, *([["l1", seed, n] for n in (3, 4) for seed in (0, 1)])]
    assert set(table["dataset"]) == {"photos", "valid"}
    written = pd.read_csv(tmp_path / "out" / "losses.csv")
    pd.testing.assert_frame_equal(written, table, rtol=1e-6)

    (run,) = (tmp_path / "out").glob("sobel-seed1-*")
    model = load_model(run / "checkpoint.safetensors")
    own = table.query("loss == 'sobel' and seed == 1 and dataset == 'valid'")
    pair = tests[0][0]
    score = PAPER.score(model.restore(pair.lr), pair.hr, 4)
    assert own["psnr_db"].to_numpy() == pytest.approx(score.psnr_db)
    for ranking, rows in own.groupby("ranked_by"):
        bands = measure_bands([model], tests[0], ranking).rows
        for measure in ("ad_levels", "squared_error"):
            assert rows[measure].tolist() == pytest.approx(bands[measure].tolist(), rel=1e-6)

    gradients = pd.read_csv(tmp_path / "out" / "losses-gradients.csv")
    assert tuple(gradients.columns) == GRADIENT_COLUMNS
    assert (gradients["time_ratio"] > 0).all()
    keys = ["loss", "seed", "iterations", "ranked_by"]
    sums = gradients.groupby(keys)[["share_at_start", "share_at_end"]].sum()
    assert sums.to_numpy() == pytest.approx(100)
    l1, sobel = (gradients[gradients["loss"] == loss] for loss in ("l1", "sobel"))
    hardest = sobel.query("ranked_by == 'gradient' and tenth == 10")["share_at_start"]
    assert (hardest > 12).all()
    assert l1["share_at_end"].to_numpy() == pytest.approx(10, abs=0.3)

    record = json.loads((tmp_path / "out" / "losses.json").read_text())
    assert record["complete"][:2] == [
        {"loss": "l1", "iterations": 2, "planned": [0, 1], "done": [0, 1]},
        {"loss": "l1-perturbed", "iterations": 2, "planned": [0, 1], "done": [0, 1]},
    ]
    assert record["training"]["data"]["images"] == 4
    assert record["settings"]["recipe"]["hold_out"] is True
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.usefixtures("no_photos")
def test_an_interrupted_bench_goes_on_and_says_what_is_complete(grid, data, tmp_path):
    few = replace(grid, stages=grid.stages[:1])
    train = [str(data / "train")]
    first = LossGrid(grid.base, (Stage(("l1",), (0,)),))
    one = run_losses(first, tmp_path, train)
    with pytest.raises(StoppedError):
        run_losses(few, tmp_path, train, deadline=0)
    (run,) = tmp_path.glob("l1-seed0-*")
    before = (run / "checkpoint.safetensors").stat().st_mtime_ns
    table = run_losses(few, tmp_path, train)
    assert (run / "checkpoint.safetensors").stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(table[: len(one)], one)
    assert len(table) == 6 * len(one)
    # Other images to measure on: measured again, not trained again.
    more = run_losses(few, tmp_path, train, tests=[open_data(data / "valid")])
    assert set(more["dataset"]) == {"photos", "valid"}
    assert (run / "checkpoint.safetensors").stat().st_mtime_ns == before
