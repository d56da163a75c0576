"""Figure 4 against known gains, and its noise floor against a simulation."""

import json

import numpy as np
import pandas as pd
import pytest

from srlongtail.ablation.run import SETTINGS
from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.paper import fig4
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.style import paper_style

HEADER = ",".join(["arm,seed,iterations,dataset,psnr_db,ssim", *SETTINGS])


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
        result = fig4.Fig4.of("photos", equal)
        floor = result.floor("psnr_db")
        gains = result.frame().groupby("arm")["psnr_db_gain"].mean()
        inside.append(gains.drop(["baseline", "fpl"]).between(floor.low, floor.high).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)


def test_arms_of_alpha_do_not_pass_for_a_lack_of_chance(ablation):
    table, before = pd.read_csv(ablation), found(ablation).floor("psnr_db")
    alphas = table["arm"].str.startswith("alpha")
    of_seed = ["dataset", "seed"]
    fpl = table[table["arm"] == "fpl"].set_index(of_seed)["psnr_db"]
    table.loc[alphas, "psnr_db"] = fpl.loc[table[alphas].set_index(of_seed).index].to_numpy()
    table.to_csv(ablation, index=False)
    assert found(ablation).floor("psnr_db") == before


def test_the_gain_of_fpl_is_told_seed_by_seed(ablation):
    table = pd.read_csv(ablation)
    odd = (table["arm"] == "baseline") & (table["seed"] == 1)
    table.loc[odd, "psnr_db"] -= 3
    table.to_csv(ablation, index=False)
    result = found(ablation)
    at = table[table["dataset"] == "photos"].set_index(["arm", "seed"])["psnr_db"]
    gains = [at["fpl", seed] - at["baseline", seed] for seed in (0, 1)]
    frame = result.frame().query("arm == 'fpl'").sort_values("seed")
    assert frame["psnr_db_gain_of_seed"].tolist() == pytest.approx(gains)
    assert f"Seed by seed FPL gains {gains[0]:+.2f} to {gains[1]:+.2f} dB" in result.caption()


def test_the_caption_and_the_record_tell_what_was_trained(ablation):
    assert "4,000 iterations, as one" in found(ablation).caption()
    recipe = {"network": "carn", "scale": 2}
    record = {"settings": {"recipe": recipe}, "training": {"data": {"images": 7}}, "models": []}
    ablation.with_suffix(".json").write_text(json.dumps(record))
    assert "iterations of CARN at x2 on 7 images, as one" in found(ablation).caption()
    inputs = FigureInputs((), photos(), ablation=ablation)
    assert fig4.settings(inputs)["made_by"]["settings"]["recipe"] == recipe
    ablation.with_suffix(".json").write_text("{")
    with pytest.raises(InputError, match=r"\.json: not a JSON file"):
        found(ablation)


def test_one_seed_has_no_floor(ablation):
    table = pd.read_csv(ablation)
    table[table["seed"] == 0].to_csv(ablation, index=False)
    result = found(ablation)
    assert result.floor("psnr_db") is None
    assert "a single seed, chance cannot be estimated" in result.caption()
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
    table[(table["seed"] == 0) == (table["arm"] != "skip")].to_csv(ablation)
    with pytest.raises(InputError, match="no seed has runs of fpl, baseline, skip measured on ph"):
        found(ablation)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such table, expected the one that 'srlongtail ablate focal-parameters' writes"),
        ("a,b\n1,2\n", "without arm, dataset, seed, iterations, psnr_db, ssim, skip, static"),
        (f"{HEADER}\nfpl,0,1,d,1,1{',1' * 7}\n", "without arm baseline, arm"),
        ("", "not a CSV table"),
    ],
)
def test_tables_of_something_else(tmp_path, text, message):
    path = tmp_path / "other.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        found(path)
