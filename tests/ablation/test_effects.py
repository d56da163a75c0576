"""Effects of parts against ordinary least squares, and what is refused."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from srlongtail.ablation.effects import effects
from srlongtail.errors import InputError

PARTS = ["skip", "static", "learnable"]


@pytest.fixture
def table():
    """All combinations with three seeds, of known effects and a little chance."""
    runs = pd.DataFrame(product((False, True), (False, True), (False, True), range(3)))
    runs.columns = [*PARTS, "seed"]
    chance = np.random.default_rng(0).normal(0, 0.01, len(runs))
    known = 0.7 * runs["skip"] + 0.1 * runs["static"] * runs["skip"] - 0.02 * runs["learnable"]
    return runs.assign(psnr_db=27 + 0.3 * runs["seed"] + known + chance)


def test_effects_are_twice_the_coefficients_of_least_squares(table):
    found = effects(table, PARTS).set_index("effect")["mean"]
    a, b, c = (np.where(table[part], 1.0, -1.0) for part in PARTS)
    columns = {
        "skip": a,
        "static": b,
        "learnable": c,
        "skip x static": a * b,
        "skip x learnable": a * c,
        "static x learnable": b * c,
        "skip x static x learnable": a * b * c,
    }
    design = np.stack([np.ones(len(table)), *columns.values()], axis=1)
    coefficients = np.linalg.lstsq(design, table["psnr_db"], rcond=None)[0]
    assert found.to_dict() == pytest.approx(
        dict(zip(columns, 2 * coefficients[1:], strict=True)), abs=1e-9
    )
    assert found["skip"] == pytest.approx(0.75, abs=0.02)
    assert found["skip x static"] == pytest.approx(0.05, abs=0.02)


def test_what_a_seed_does_to_all_runs_alike_is_no_spread(table):
    found = effects(table, PARTS)
    assert found["seeds"].tolist() == [3] * 7
    assert found["sd"].between(1e-4, 0.03).all()


def test_a_part_of_the_grid_is_a_grid(table):
    with_skip = effects(table[table["skip"]], PARTS[1:]).set_index("effect")["mean"]
    assert with_skip["static"] == pytest.approx(0.1, abs=0.02)


def test_seeds_that_are_not_complete_do_not_count(table):
    assert set(effects(table[:-1], PARTS)["seeds"]) == {2}
    with pytest.raises(InputError, match="no seed has all 8 combinations of skip, static, learn"):
        effects(table[table["skip"]], PARTS)
    with pytest.raises(InputError, match="several runs of the same skip and seed, expected one"):
        effects(table, ["skip"])
