"""Figure 4 against known gains, and its noise floor against a simulation."""

import numpy as np
import pandas as pd
import pytest

from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.paper import fig4
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.style import paper_style


def found(ablation, data=None):
    return fig4.compute(FigureInputs((), data or photos(), ablation=ablation))


def test_gains_are_those_over_the_mean_baseline(ablation):
    result = found(ablation)
    assert result.dataset == "photos"
    assert result.gain("skip") == pytest.approx(1.0, abs=0.05)
    assert result.gain("gamma_sp=2") == pytest.approx(1.5, abs=0.05)
    assert result.gain("fpl", "ssim") == pytest.approx(1.1 / 40, abs=2e-3)
    assert result.gain("baseline") == pytest.approx(0, abs=1e-12)


def test_the_data_set_asked_for_is_shown_where_the_table_has_it(ablation, data):
    assert found(ablation, data).dataset == "Set3"


def test_a_dial_runs_through_fpl(ablation):
    result = found(ablation)
    static, learnable = result.dial("gamma", "psnr_db").values()
    assert static["value"].tolist() == [0, 0, 1, 1, 2, 2]
    assert static.groupby("value")["gain"].mean()[2] == pytest.approx(1.5, abs=0.05)
    assert learnable.groupby("value")["gain"].mean()[2] == pytest.approx(1.1, abs=0.05)
    assert set(result.dial("alpha", "psnr_db")["static prior"]["value"]) == {0.1, 0.5, 1, 2}


def test_only_what_is_more_than_chance_is_counted(ablation):
    result = found(ablation)
    assert result.outside("gamma") == (1, 4)
    assert "Outside by PSNR: 1 of 4 settings of gamma" in result.caption()


def test_the_floor_holds_95_percent_of_equal_arms(ablation):
    """What a seed does to all arms alike, here 0.2 dB, must not widen it."""
    table, inside = pd.read_csv(ablation), []
    table = table[table["dataset"] == "photos"]
    for trial in range(200):
        chance = np.random.default_rng(trial).normal(0, 0.02, len(table))
        equal = table.assign(psnr_db=28 + 0.2 * table["seed"] + chance)
        result = fig4.Fig4("photos", equal)
        floor = result.floor("psnr_db")
        gains = result.frame().groupby("arm")["psnr_db_gain"].mean()
        inside.append(gains.drop(["baseline", "fpl"]).between(floor.low, floor.high).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_arms_of_alpha_do_not_pass_for_a_lack_of_chance(ablation):
    table = pd.read_csv(ablation)
    table.loc[table["arm"].str.startswith("alpha"), "psnr_db"] = 40
    table.to_csv(ablation, index=False)
    floor = found(ablation).floor("psnr_db")
    assert floor.high - floor.low > 0.01


def test_one_seed_has_no_floor(ablation):
    table = pd.read_csv(ablation)
    table[table["seed"] == 0].to_csv(ablation, index=False)
    result = found(ablation)
    assert result.floor("psnr_db") is None
    assert "one seed: nothing tells what is chance" in result.caption()
    with paper_style():
        assert len(fig4.draw(result).axes) == 4


def test_what_a_seed_does_to_all_arms_alike_lifts_no_arm_that_lacks_it(ablation):
    table = pd.read_csv(ablation)
    before = found(ablation).gain("alpha_lp=2")
    table[(table["seed"] == 0) | ~table["arm"].str.startswith("alpha_lp")].to_csv(ablation)
    result = found(ablation)
    assert result.gain("alpha_lp=2") == pytest.approx(before, abs=0.03)  # a seed does 0.2
    assert result.floor("psnr_db") is not None
    assert "seeds (1 to 2 an arm)" in result.caption()


def test_a_seed_without_what_the_others_are_compared_with_is_left_out(ablation):
    table = pd.read_csv(ablation)
    table[(table["seed"] == 0) | (table["arm"] != "skip")].to_csv(ablation)
    assert set(found(ablation).runs["seed"]) == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such table, expected the one that 'srlongtail ablate focal-parameters' writes"),
        ("a,b\n1,2\n", "without arm, seed, iterations, dataset, psnr_db, ssim, expected"),
        ("arm,seed,iterations,dataset,psnr_db,ssim\nfpl,0,1,d,1,1\n", "without arm baseline, arm"),
        ("", "no CSV table"),
    ],
)
def test_tables_of_something_else(tmp_path, text, message):
    path = tmp_path / "other.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        found(path)
