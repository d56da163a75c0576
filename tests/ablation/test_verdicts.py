"""The verdicts on losses: against SciPy, and on tables whose effects were planted."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from srlongtail.ablation.verdicts import (
    BAND_MEASURES,
    MEASURES,
    band_verdict,
    false_positives,
    loss_verdicts,
    paired_effects,
    runs_of,
    verdict,
    with_time,
)
from srlongtail.errors import InputError
from srlongtail.stats import largest_t_quantile

CHANCE = {"psnr_db": 0.004, "ssim": 1e-4, **dict.fromkeys(BAND_MEASURES, 0.004)}


def planted(effects, seeds, *, chance=CHANCE, offset=0.1, seed=0):
    """Runs of L1 and other losses: a common offset of each seed, chance, and the effects."""
    rng = np.random.default_rng(seed)
    of_seed = rng.normal(0, offset, (max(seeds.values()), len(MEASURES)))
    rows = []
    for loss, count in seeds.items():
        for number in range(count):
            values = 10 + of_seed[number] + rng.normal(0, [chance[m] for m in MEASURES])
            row = dict(zip(MEASURES, values, strict=True))
            for measure, effect in effects.get(loss, {}).items():
                row[measure] += effect
            rows.append({"loss": loss, "seed": number, "iterations": 4000, **row})
    return pd.DataFrame(rows)


def test_dunnett_s_critical_value_is_scipy_s():
    rng = np.random.default_rng(0)
    control, *others = rng.normal(size=(5, 8))
    found = scipy.stats.dunnett(*others, control=control, random_state=1)
    interval = found.confidence_interval(0.95)
    spread = np.sqrt(np.mean([v.var(ddof=1) for v in (control, *others)]) * 2 / 8)
    expected = (interval.high - interval.low)[0] / 2 / spread
    correlation = np.full((4, 4), 0.5) + 0.5 * np.eye(4)
    assert largest_t_quantile(correlation, 5 * 7) == pytest.approx(expected, abs=0.015)


def test_one_comparison_is_student_s():
    assert largest_t_quantile([[1.0]], 9) == pytest.approx(scipy.stats.t.ppf(0.975, 9), abs=0.015)
    with pytest.raises(InputError, match=r"correlations of shape \(0,\) and 9 degrees"):
        largest_t_quantile([], 9)


def test_one_loss_is_compared_as_by_the_paired_t_test():
    runs = planted({"fpl": {"psnr_db": 0.02}}, {"l1": 6, "fpl": 6})
    found = paired_effects(runs, ["psnr_db"]).iloc[0]
    fpl, l1 = (runs[runs["loss"] == loss]["psnr_db"].to_numpy() for loss in ("fpl", "l1"))
    interval = scipy.stats.ttest_rel(fpl, l1).confidence_interval()
    assert found["estimate"] == pytest.approx((fpl - l1).mean())
    assert found["sd"] == pytest.approx((fpl - l1).std(ddof=1))
    half = (interval.high - interval.low) / 2
    assert found["high"] - found["estimate"] == pytest.approx(half, rel=0.01)


def test_losses_of_few_seeds_borrow_the_variance_of_all():
    seeds = {"l1": 10, "fpl": 10, "l2": 5}
    runs = planted({}, seeds)
    found = paired_effects(runs, ["psnr_db"]).set_index("loss")
    assert found["seeds"].to_dict() == {"fpl": 10, "l2": 5}
    widths = (found["high"] - found["low"]).to_dict()
    assert widths["l2"] / widths["fpl"] == pytest.approx(2**0.5)
    # Least squares of loss plus seed by the normal equations, with other contrasts than the code.
    losses, numbers = (runs[key].to_numpy() for key in ("loss", "seed"))
    columns = [np.ones(len(runs)), losses == "fpl", losses == "l2"]
    columns += [numbers == n for n in range(1, 10)]
    x = np.stack(columns, axis=1).astype(float)
    y = runs["psnr_db"].to_numpy()
    rest = y - x @ np.linalg.solve(x.T @ x, x.T @ y)
    sigma = np.sqrt(rest @ rest / (25 - 12))
    corr = 5 / np.sqrt(10 * 5) / 2
    critical = largest_t_quantile([[1, corr], [corr, 1]], 13)
    assert widths["fpl"] / 2 == pytest.approx(critical * sigma * np.sqrt(2 / 10))


def test_a_single_seed_gives_no_interval_and_no_verdict():
    runs = planted({}, {"l1": 1, "fpl": 1})
    effects = paired_effects(runs)
    assert effects["low"].isna().all()
    (row,) = loss_verdicts(effects).to_dict("records")
    assert (row["moves"], row["psnr_verdict"]) == ("undecided", "undecided")
    assert false_positives(runs, effects) is None


def test_a_loss_of_one_seed_has_no_interval_and_leaves_the_others_alone():
    runs = planted({}, {"l1": 6, "l1-perturbed": 6, "fpl": 6, "far": 1})
    effects = paired_effects(runs)
    far = effects["loss"] == "far"
    assert effects[far][["low", "high"]].isna().all(axis=None)
    assert set(effects[far]["variance"]) == {"unknown"}
    alone = paired_effects(runs[runs["loss"] != "far"])
    pd.testing.assert_frame_equal(effects[~far].reset_index(drop=True), alone)
    found = loss_verdicts(effects).set_index("loss").loc["far"]
    assert (found["moves"], found["psnr_verdict"]) == ("undecided", "undecided")
    assert false_positives(runs, effects) == false_positives(runs, alone)


def test_the_intervals_cover_all_true_differences_at_once():
    seeds = {"l1": 10, "a": 10, "b": 5, "c": 5, "d": 5}
    true = {"a": {"psnr_db": 0.03}, "b": {"psnr_db": -0.02}}
    missed = 0
    for number in range(400):
        found = paired_effects(planted(true, seeds, seed=number), ["psnr_db"], 0.9)
        truth = found["loss"].map(lambda loss: true.get(loss, {}).get("psnr_db", 0))
        missed += ((truth < found["low"]) | (truth > found["high"])).any()
    assert 0.06 < missed / 400 < 0.14


def test_planted_effects_are_found_and_equal_losses_are_not():
    moved = dict(zip(BAND_MEASURES, (0.03, 0.03, -0.06, -0.06), strict=True))
    effects = {
        "fpl": {"psnr_db": 0.03, **moved},
        "back": {m: -v for m, v in moved.items()},
        "torn": moved | {"tail_bicubic_ad": 0.06},  # the rankings disagree
        "strong": {"psnr_db": -0.5, **dict.fromkeys(BAND_MEASURES, 0.5)},
    }
    seeds = {"l1": 12, "l1-perturbed": 12, "fpl": 10, "back": 5, "torn": 5, "strong": 5}
    runs = planted(effects, seeds)
    found = loss_verdicts(paired_effects(runs)).set_index("loss")
    assert found["moves"].to_dict() == {
        "l1-perturbed": "no effect",
        "fpl": "tail to head",
        "back": "head to tail",
        "torn": "undecided",
        "strong": "higher in both",
    }
    assert found["psnr_verdict"].to_dict() == {
        "l1-perturbed": "no effect",
        "fpl": "effect",
        "back": "no effect",
        "torn": "no effect",
        "strong": "effect",
    }
    assert found.loc["strong", "psnr_db"] == pytest.approx(-0.5, abs=0.01)
    assert found.loc["fpl", "psnr_db_low"] < 0.03 < found.loc["fpl", "psnr_db_high"]


def test_false_positives_are_as_rare_as_promised():
    seeds = {"l1": 12, "l1-perturbed": 12, "fpl": 10, "l2": 5}
    runs = planted({}, seeds)
    found = false_positives(runs, paired_effects(runs))
    assert (found.pairs, found.seeds, found.draws) == (12, 5, 10_000)
    # Three comparisons share the 5%.
    assert 0 <= found.psnr < 500
    assert 0 <= found.moves < 50
    # The same rule with an interval that is far too narrow finds effects everywhere.
    narrow = paired_effects(runs).assign(low=lambda t: t["estimate"], high=lambda t: t["estimate"])
    assert false_positives(runs, narrow).psnr == 10_000


def test_the_words_of_the_intervals():
    assert verdict(0.1, 0.2, 0.15) == "effect"
    assert verdict(-0.2, -0.1, 0.05) == "effect"
    assert verdict(0.1, 0.2, 1) == "effect below the margin"
    assert verdict(-0.2, -0.1, 1) == "effect below the margin"
    assert verdict(-0.01, 0.01, 0.01) == "no effect"
    assert verdict(-0.01, 0.0101, 0.01) == "undecided"
    assert verdict(float("nan"), float("nan"), 0.01) == "undecided"
    assert band_verdict([(0.1, 0.2), (0.1, 0.3)]) == "higher"
    assert band_verdict([(-0.01, 0.01), (-0.02, 0.01)]) == "same"
    assert band_verdict([(0.001, 0.01), (-0.02, 0.01)]) == "undecided"
    assert band_verdict([(-0.02, -0.01), (-0.015, -0.001)]) == "slightly lower"
    assert band_verdict([(-0.03, -0.01), (-0.015, -0.001)]) == "lower"
    assert band_verdict([(0.01, 0.02), (0.001, 0.02)]) == "slightly higher"
    assert band_verdict([(0.01, 0.02), (-0.02, -0.001)]) == "undecided"


def test_where_error_moves_in_words():
    bands = {
        "slight": (0.01, -0.01),
        "tail": (0.0, -0.5),
        "slight tail": (0.0, -0.01),
        "mixed": (0.01, -0.5),
    }
    margins = {"slight": 0.004, "tail": 0.01, "slight tail": 0.004, "mixed": 0.004}
    rows = []
    for loss, (head, tail) in bands.items():
        for measure in MEASURES:
            mean = head if measure.startswith("head") else tail
            ends = {"low": mean - margins[loss], "high": mean + margins[loss]}
            row = {"loss": loss, "measure": measure, "seeds": 5, "estimate": mean, **ends}
            rows.append(row | {"variance": "pooled"})
    found = loss_verdicts(pd.DataFrame(rows)).set_index("loss")
    assert found["moves"].to_dict() == {
        "slight": "tail to head, below the margin",
        "tail": "lower in the tail",
        "slight tail": "lower in the tail, below the margin",
        "mixed": "tail to head",
    }


def test_a_noisy_loss_has_intervals_of_its_own_variance_and_leaves_the_others_alone():
    seeds = {"l1": 10, "l1-perturbed": 10, "fpl": 10, "sobel": 5, "strong": 5}
    runs = planted({}, seeds)
    # Three of the four comparisons use up three quarters of the 5%.
    quiet = paired_effects(runs[runs["loss"] != "strong"], ["psnr_db"], 1 - 0.05 * 3 / 4)
    rng = np.random.default_rng(1)
    runs.loc[runs["loss"] == "strong", "psnr_db"] += rng.normal(0, 0.2, 5)
    effects = paired_effects(runs)
    own = effects[effects["variance"] == "own"]
    assert own[["loss", "measure"]].values.tolist() == [["strong", "psnr_db"]]
    values = runs.pivot(index="seed", columns="loss", values="psnr_db")
    pairs = (values["strong"] - values["l1"]).dropna()
    # Bonferroni for the four losses that are compared with L1.
    interval = scipy.stats.ttest_1samp(pairs, 0).confidence_interval(1 - 0.05 / 4)
    assert own[["low", "high"]].to_numpy()[0] == pytest.approx(interval)
    found = effects.query("measure == 'psnr_db' and variance == 'pooled'")
    half, alone = ((t["high"] - t["low"]).to_numpy() / 2 for t in (found, quiet))
    assert half == pytest.approx(alone)
    verdicts = loss_verdicts(effects).set_index("loss")
    assert verdicts["own_variance"].to_dict() == {
        "l1-perturbed": "", "fpl": "", "sobel": "", "strong": "psnr_db",
    }  # fmt: skip
    assert false_positives(runs, effects).psnr < 500


def test_where_l1_is_noisy_all_intervals_are_those_of_the_paired_t_test():
    runs = planted({}, {"l1": 8, "l1-perturbed": 8, "fpl": 8, "sobel": 8})
    rng = np.random.default_rng(1)
    runs.loc[runs["loss"] == "l1", "psnr_db"] += rng.normal(0, 0.2, 8)
    effects = paired_effects(runs, ["psnr_db"])
    assert (effects["variance"] == "own").all()
    values = runs.pivot(index="seed", columns="loss", values="psnr_db")
    for row in effects.itertuples():
        pairs = values[row.loss] - values["l1"]
        interval = scipy.stats.ttest_1samp(pairs, 0).confidence_interval(1 - 0.05 / 3)
        assert (row.low, row.high) == pytest.approx(interval)
    assert false_positives(runs, paired_effects(runs)) is None


def test_intervals_cover_the_differences_where_one_loss_has_four_times_the_chance():
    missed = 0
    for number in range(100):
        runs = planted({}, {"l1": 10, "a": 10, "b": 5, "c": 5, "d": 5}, seed=number)
        rng = np.random.default_rng(1000 + number)
        runs.loc[runs["loss"] == "d", "psnr_db"] += rng.normal(0, 0.0155, 5)
        found = paired_effects(runs, ["psnr_db"], 0.9)
        missed += ((found["low"] > 0) | (found["high"] < 0)).any()
    assert missed <= 10  # with one variance for all losses: 15


def test_head_and_tail_of_a_run():
    rows = [
        ("l1", 0, 4000, "Set5", ranking, tenth, factor * tenth, 0.0, 30.0, 0.9)
        for ranking, factor in (("gradient", 1.0), ("bicubic_ad", 2.0))
        for tenth in range(1, 11)
    ]
    columns = "loss seed iterations dataset ranked_by tenth ad_levels squared_error psnr_db ssim"
    (run,) = runs_of(pd.DataFrame(rows, columns=columns.split())).to_dict("records")
    assert [run[m] for m in BAND_MEASURES] == [3, 6, 10, 20]
    assert (run["psnr_db"], run["ssim"]) == (30.0, 0.9)


def test_a_gain_in_time_and_in_l1_s_iterations():
    runs = pd.DataFrame(
        [("l1", 4000, 27.0), ("l1", 6000, 27.1), ("l1", 8000, 27.15)],
        columns=["loss", "iterations", "psnr_db"],
    ).assign(seed=0)
    losses = ["same", "free", "paid", "far", "dear", "worse"]
    gains = [0.0, 0.1, 0.1, 0.2, 0.1, -0.1]
    times = pd.Series([1, 1, 1.5, 1, 3, 1], index=losses)
    table = pd.DataFrame({"loss": losses, "psnr_db": gains})
    found = with_time(table, runs, times, 4000).set_index("loss")
    assert found["l1_iterations"].round(6).to_dict() == {
        "same": 1,
        "free": 1.5,
        "paid": 1.5,
        "far": np.inf,
        "dear": 1.5,
        "worse": 1,
    }
    gain = found["gain_at_equal_time_db"].round(6)
    assert gain.drop("dear").to_dict() == {
        "same": 0,
        "free": 0.1,
        "paid": 0,
        "far": 0.2,
        "worse": -0.1,
    }
    assert np.isnan(gain["dear"])  # no run of L1 is as long
    alone = runs[runs["iterations"] == 4000]
    assert with_time(table, alone, times, 4000)["l1_iterations"].isna().all()


def test_mistakes():
    runs = planted({}, {"l1": 2, "fpl": 2})
    with pytest.raises(InputError, match="several runs of one loss and seed"):
        paired_effects(pd.concat([runs, runs]))
    with pytest.raises(InputError, match="no loss with a seed in common with l1"):
        paired_effects(runs[runs["loss"] == "fpl"])


def test_false_positives_of_pairs_whose_signs_are_drawn():
    """Five differences of one size: at least four of five signs agree in 12 of 32 draws."""
    size = dict.fromkeys(MEASURES, 1.0) | dict.fromkeys(["tail_gradient", "tail_bicubic_ad"], -1.0)
    rows = [{"loss": "l1", "seed": n, **dict.fromkeys(MEASURES, 0.0)} for n in range(5)]
    rows += [{"loss": "l1-perturbed", "seed": n, **size} for n in range(5)]
    interval = {"loss": "l1-perturbed", "seeds": 5, "low": -0.5, "high": 0.5, "variance": "pooled"}
    effects = pd.DataFrame([{"measure": measure, **interval} for measure in MEASURES])
    found = false_positives(pd.DataFrame(rows), effects)
    expected = pytest.approx(10_000 * 12 / 32, abs=200)
    assert (found.psnr, found.moves) == (expected, expected)
