"""Recipes: the paper's settings, TOML there and back, and mistakes that are told."""

from dataclasses import asdict, fields, replace

import pytest

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters
from srlongtail.models.catalog import CATALOG
from srlongtail.training.recipe import (
    RECIPES,
    Recipe,
    differences,
    find_recipe,
    read_recipe,
    write_recipe,
)

# Section 4.1 of the paper: iterations in thousands, and the initial learning rate.
PAPER = {
    "carn": (1000, 1e-3),
    "srresnet": (1000, 2e-4),
    "msrn": (1000, 2e-4),
    "fsrcnn": (500, 1e-3),
    "swinir": (500, 2e-4),
}


def test_six_networks_three_arms_three_tasks():
    assert len(RECIPES) == 54
    networks = {recipe.network for recipe in RECIPES.values()}
    assert networks == {*PAPER, "bsrn"}
    assert networks <= CATALOG.keys()
    assert all(name == recipe.name for name, recipe in RECIPES.items())


@pytest.mark.parametrize("network", PAPER)
@pytest.mark.parametrize("arm", ["", "-fpl"])
@pytest.mark.parametrize("task", ["-x4", "-x2", "-x4-degraded"])
def test_settings_of_the_paper(network, arm, task):
    recipe = find_recipe(network + arm + task)
    thousands, rate = PAPER[network]
    assert (recipe.iterations, recipe.learning_rate) == (thousands * 1000, rate)
    assert (recipe.batch, recipe.patch, recipe.minimum_rate) == (16, 32, 1e-7)
    assert recipe.scale == (2 if "x2" in task else 4)
    assert recipe.degradation == ("blur-noise" if "degraded" in task else "bicubic")
    assert {recipe.skip, recipe.static, recipe.learnable} == {arm == "-fpl"}
    assert (recipe.alpha_sp, recipe.gamma_sp, recipe.alpha_lp, recipe.gamma_lp) == (0.5, 1, 1, 1)


def test_the_skip_arm_has_no_weights():
    recipe = find_recipe("carn-skip-x2")
    assert (recipe.skip, recipe.static, recipe.learnable) == (True, False, False)


def test_focal_defaults_are_those_of_the_loss():
    recipe = Recipe()
    assert {key: getattr(recipe, key) for key in asdict(FocalParameters())} == asdict(
        FocalParameters()
    )


@pytest.mark.parametrize(
    "recipe",
    [
        *list(RECIPES.values())[::7],
        Recipe(
            name='quotes " and \\ and ü and 🌄',
            arguments={"features": 8, "depths": [2, 2], "mlp_ratio": 1.5},
            data=("C:\\images", "a b"),
            pyramid=(1.0, 0.9, 0.6),
            minimum_rate=1e-30,
            compile=True,
        ),
    ],
)
def test_toml_there_and_back(recipe, tmp_path):
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_a_file_starts_from_its_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "carn-fpl-x2"\nlearning_rate = 1\n')
    assert find_recipe(path) == replace(RECIPES["carn-fpl-x2"], learning_rate=1.0)


def test_a_file_without_base_is_called_like_the_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n[arguments]\nfeatures = 8\n")
    assert read_recipe(path) == Recipe(name="mine", seed=3, arguments={"features": 8})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("itterations = 5", r"mine.toml: unknown key 'itterations', did you mean 'iterations'\?"),
        ("zzz = 5", r"mine.toml: unknown key 'zzz'$"),
        ("iterations = 5.5", "mine.toml: iterations 5.5, expected a whole number"),
        ("iterations = true", "mine.toml: iterations True, expected a whole number"),
        ('skip = "yes"', "mine.toml: skip 'yes', expected true or false"),
        ("data = 3", "mine.toml: data 3, expected a list"),
        ('pyramid = [1, "x"]', "mine.toml: pyramid 'x', expected a number"),
        ("iterations = 0", "mine: iterations 0, expected at least 1"),
        ("ema = 1", "mine: ema 1.0, expected 0 <= ema < 1"),
        (
            'precision = "half"',
            "mine: precision 'half', expected 'auto' or 'float32' or 'bfloat16'",
        ),
        ("accumulate = 3", "mine: batch 16, expected a multiple of accumulate"),
        ("arguments = {scale = 2}", r"mine: arguments {'scale': 2}, expected the scale apart"),
        ("pyramid = []", r"mine: pyramid \(\), expected sizes up to 1"),
        ('base = "fsrcnn-x5"', "unknown recipe 'fsrcnn-x5', did you mean 'fsrcnn-x"),
        ("= 5", "mine.toml: not a TOML file"),
    ],
)
def test_mistakes_in_a_file(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_recipe(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none.toml: cannot be read: No such file"):
        find_recipe(tmp_path / "none.toml")


def test_a_name_nearly_right():
    with pytest.raises(InputError, match="'fsrcn-fpl-x4', did you mean 'fsrcnn-fpl-x4'"):
        find_recipe("fsrcn-fpl-x4")


def test_what_may_differ_when_a_run_is_resumed():
    harmless = {
        "name": "b",
        "data": ("elsewhere",),
        "validation": "x",
        "log_every": 7,
        "validate_every": 7,
        "save_every": 7,
        "keep_every": 7,
    }
    assert differences(Recipe(), replace(Recipe(), **harmless)) == {}
    others = {f.name for f in fields(Recipe)} - harmless.keys()
    for key in others - {"arguments", "pyramid", "degradation", "scope", "precision", "network"}:
        old = getattr(Recipe(), key)
        new = (
            (not old) if isinstance(old, bool) else 2 if key == "p" else 0.5 if key == "ema" else 2
        )
        changed = replace(Recipe(batch=16, learning_rate=9.0), **{key: new})
        assert key in differences(Recipe(batch=16, learning_rate=9.0), changed), key


@pytest.mark.parametrize(
    ("iterations", "rows", "validations"),
    [(2000, 50, 500), (50_000, 50, 2500), (500_000, 500, 25_000)],
)
def test_intervals_follow_the_length(iterations, rows, validations):
    recipe = Recipe(iterations=iterations)
    assert (recipe.log_interval, recipe.validation_interval) == (rows, validations)


def test_what_is_due():
    recipe = Recipe(iterations=10)
    assert [i for i in range(1, 11) if recipe.is_due(4, i)] == [4, 8, 10]
    assert not any(recipe.is_due(0, i) for i in range(1, 11))
