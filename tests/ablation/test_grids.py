"""The grids' arms, and a table that is the same whether a grid ran at once or in pieces."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from srlongtail.ablation import run
from srlongtail.ablation.grids import (
    GRIDS,
    Grid,
    custom_grid,
    find_grid,
)
from srlongtail.ablation.run import SETTINGS, run_grid, summary
from srlongtail.errors import InputError
from srlongtail.image.dataset import open_data
from srlongtail.image.degrade import BlurNoise
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.models.complexity import count_parameters
from srlongtail.models.facts import arm_of
from srlongtail.training.interruption import StoppedError
from srlongtail.training.recipe import find_recipe, write_recipe
from srlongtail.training.validation import Validation


def settings(grid):
    """The distinct runs of a grid's first seed, by their settings."""
    return {
        tuple(getattr(recipe, key) for key in SETTINGS): arm
        for arm, recipe in grid.runs()
        if recipe.seed == grid.seeds[0]
    }


def test_all_combinations_of_the_parts_of_fpl():
    grid = find_grid("skip-static-learnable")
    assert len(settings(grid)) == 8
    assert settings(grid)[False, False, False, 0.5, 1, 1, 1] == "baseline"
    assert settings(grid)[True, True, True, 0.5, 1, 1, 1] == "skip-static-learnable"
    assert (grid.iterations, grid.seeds) == (4000, (0, 1, 2))


def test_the_paper_s_dials_one_at_a_time():
    grid = find_grid("focal-parameters")
    found = settings(grid)
    assert len(found) == 13
    assert len(list(grid.runs())) == 13 * 2
    fpl = {"alpha_sp": 0.5, "gamma_sp": 1, "alpha_lp": 1, "gamma_lp": 1}
    parts = (True, True, True), (True, False, False), (False, False, False)
    expected = {(*part, *fpl.values()) for part in parts}
    for key in fpl:
        for value in (0, 1, 2) if "gamma" in key else (0.1, 0.5, 1, 2):
            expected.add((True, True, True, *(fpl | {key: value}).values()))
    assert set(found) == expected


def test_the_arms_of_the_grids_are_the_named_recipes():
    for grid, arm, name in (
        ("seed-spread", "fpl", "fsrcnn-fpl-x4"),
        ("seed-spread", "baseline", "fsrcnn-x4"),
        ("skip-static-learnable", "skip", "fsrcnn-skip-x4"),
        ("focal-parameters", "fpl", "fsrcnn-fpl-x4"),
        ("focal-parameters", "skip", "fsrcnn-skip-x4"),
        ("focal-parameters", "baseline", "fsrcnn-x4"),
    ):
        (recipe,) = (r for a, r in GRIDS[grid].runs() if a == arm and r.seed == 0)
        named = replace(find_recipe(name), iterations=recipe.iterations, name=recipe.name)
        assert recipe == named


def test_capacity_is_a_factor_of_23_from_the_smallest_to_the_largest_network():
    grid = find_grid("capacity")
    sizes: dict[int, set[str]] = {}
    for _, recipe in grid.runs():
        model = new_model(recipe.network, recipe.scale, **recipe.arguments)
        sizes.setdefault(count_parameters(model), set()).add(arm_of(vars(recipe)))
    assert set(sizes) == {4243, 10503, 24515, 97019}
    assert all(arms == {"skip", "FPL"} for arms in sizes.values())
    assert len(list(grid.runs())) == 4 * 2 * 3


def test_grids_of_one_s_own():
    grid = custom_grid("carn-fpl-x2", ["gamma_sp=0,1.5", "scope=batch,image", "skip=true"])
    assert len(grid.arms) == 4
    assert grid.arms["gamma_sp=1.5 scope=image skip=true"] == {
        "gamma_sp": 1.5,
        "scope": "image",
        "skip": True,
    }
    with pytest.raises(InputError, match=r"vary gamma_sp: expected KEY=VALUE,VALUE,\.\.\."):
        custom_grid("carn-x2", ["gamma_sp"])
    for key, expected in (
        ("seed", "the seeds of the grid"),
        ("scale", "a recipe of"),
        ("save_every", "a setting"),
    ):
        with pytest.raises(InputError, match=f"vary {key}: makes no arms .* expected {expected}"):
            custom_grid("carn-x2", [f"{key}=1,2"])
    with pytest.raises(InputError, match="arm gamma=1: unknown key 'gamma', did you mean 'gamma_"):
        list(custom_grid("carn-x2", ["gamma=1"]).runs())
    with pytest.raises(InputError, match="unknown grid 'focal', expected one of seed-spread"):
        find_grid("focal")


@pytest.fixture
def grid(recipe, tmp_path):
    """Two arms with two seeds of the small run."""
    write_recipe(tmp_path / "small.toml", recipe)
    arms = {"fpl": {}, "skip": {"static": False, "learnable": False}}
    return Grid("pair", str(tmp_path / "small.toml"), arms, iterations=2, seeds=(0, 1))


@pytest.fixture
def folders(data):
    """The training folder, and the test set."""
    return [str(data / "train")], [open_data(data / "valid")]


def test_the_table(grid, folders, tmp_path):
    data, tests = folders
    table = run_grid(grid, tmp_path / "out", data, tests=tests)
    assert list(zip(table["arm"], table["seed"], strict=True)) == [
        ("fpl", 0),
        ("skip", 0),
        ("fpl", 1),
        ("skip", 1),
    ]
    (run,) = (tmp_path / "out").glob("skip-seed1-*")
    model = load_model(run / "checkpoint.safetensors")
    fit = Validation("valid", tests[0]).measure(model)
    assert table.iloc[3][["dataset", "psnr_db", "tail_ad_levels"]].tolist() == [
        "valid",
        pytest.approx(fit.psnr_db),
        pytest.approx(fit.tail_ad_levels),
    ]
    assert table["psnr_db"].nunique() == 4
    assert set(table["parameters"]) == {count_parameters(model)}
    means = summary(table)
    assert means["arm"].tolist() == ["fpl", "skip"]
    one, other = table.loc[table["arm"] == "skip", "psnr_db"]
    assert means.loc[1, "psnr_db"] == pytest.approx((one + other) / 2)
    assert means.loc[1, "psnr_sd_db"] == pytest.approx(abs(one - other) / 2**0.5)
    assert means["seeds"].tolist() == [2, 2]
    written = pd.read_csv(tmp_path / "out" / "pair.csv")
    pd.testing.assert_frame_equal(written, table, check_dtype=False, rtol=1e-6)
    record = json.loads((tmp_path / "out" / "pair.json").read_text())
    assert record["training"]["data"]["folders"] == {"a": 2, "b": 2}
    assert record["settings"]["seeds"] == [0, 1]
    assert record["settings"]["recipe"]["network"] == "fsrcnn"
    assert str(tmp_path) not in json.dumps(record)


def test_an_interrupted_grid_goes_on(grid, folders, tmp_path):
    data, tests = folders
    whole = run_grid(grid, tmp_path / "whole", data, tests=tests)
    with pytest.raises(StoppedError):
        run_grid(grid, tmp_path / "out", data, tests=tests, deadline=0)
    pd.testing.assert_frame_equal(run_grid(grid, tmp_path / "out", data, tests=tests), whole)


def test_runs_that_another_grid_has_are_not_repeated(grid, folders, tmp_path):
    data, tests = folders
    out = tmp_path / "out"
    run_grid(replace(grid, seeds=(0,)), out / "first", data, tests=tests)
    table = run_grid(grid, out / "second", data, tests=tests, reuse=out)
    assert len(table) == 4
    made = sorted(p.name for p in (out / "second").iterdir() if p.is_dir())
    assert [name.rpartition("-")[0] for name in made] == ["fpl-seed1", "skip-seed1"]


def test_a_longer_grid_does_not_stumble_over_a_shorter_one(grid, folders, tmp_path):
    data, tests = folders
    run_grid(replace(grid, seeds=(0,)), tmp_path, data, tests=tests)
    table = run_grid(replace(grid, seeds=(0,), iterations=3), tmp_path, data, tests=tests)
    assert table["iterations"].tolist() == [3, 3]


def test_a_grid_is_measured_on_its_own_task():
    grid = custom_grid("fsrcnn-fpl-x4-degraded", ["gamma_sp=0,1"])
    (images,) = run._Table(grid, None, None, None)._tests
    assert images.degradation == BlurNoise(4)
