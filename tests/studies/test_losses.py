"""The study of a bench of losses: on a table with planted effects, and replayed from real runs."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from srlongtail.ablation.losses import COLUMNS, GRADIENT_COLUMNS
from srlongtail.ablation.verdicts import paired_effects
from srlongtail.errors import InputError
from srlongtail.models.find import ZOO
from srlongtail.plots.style import paper_style
from srlongtail.studies import losses as study

# PSNR, head, tail: differences from L1.
EFFECTS = {
    "l1-perturbed": (0, 0, 0),
    "fpl": (0.03, 0.1, -0.2),
    "fpl-shuffled": (0, 0, 0),
    "bicubic-ad-gamma4": (-0.4, 0.4, 0.3),
    "mine:MyLoss": (0, -0.1, 0.2),
}
SEEDS = {"l1": 12, "l1-perturbed": 12, "fpl": 10}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The files of a bench with planted effects."""
    folder = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    of_seed = rng.normal(0, 0.05, (12, 3))
    rows, gradients = [], []
    runs = [(loss, seed, 4000) for loss in ("l1", *EFFECTS) for seed in range(SEEDS.get(loss, 5))]
    runs += [("l1", seed, n) for n in (6000, 8000) for seed in range(5)]
    for loss, seed, iterations in runs:
        psnr, head, tail = EFFECTS.get(loss, (0, 0, 0))
        psnr += 0.1 * np.log2(iterations / 4000)
        chance = of_seed[seed] + rng.normal(0, 0.003, 3)
        for ranking in ("gradient", "bicubic_ad"):
            for tenth in range(1, 11):
                shift = chance[1] + (head if tenth <= 5 else tail if tenth == 10 else 0)
                error = tenth + shift
                scores = error, error**2, 26 + psnr + chance[0], 0.74
                rows.append((loss, seed, iterations, "held-out", ranking, tenth, *scores))
                time = 1.5 if loss == "mine:MyLoss" else 1
                gradients.append((loss, seed, iterations, time, ranking, tenth, 10, 10))
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "losses.csv", index=False)
    table = pd.DataFrame(gradients, columns=GRADIENT_COLUMNS)
    table.to_csv(folder / "losses-gradients.csv", index=False)
    record = {
        "settings": {"recipe": {"network": "fsrcnn", "scale": 4}},
        "training": {"data": {"images": 638}},
        "complete": [
            {"loss": "l1", "iterations": 4000, "planned": [*range(12)], "done": [*range(12)]},
            {"loss": "sobel", "iterations": 4000, "planned": [*range(10)], "done": [0, 1, 2]},
        ],
    }
    (folder / "losses.json").write_text(json.dumps(record))
    return folder / "losses.csv"


@pytest.fixture(scope="module")
def result(bench):
    """The study of that bench."""
    table, gradients, record = study.read_bench(bench)
    return study.compute(table, gradients, record=record)


def test_planted_effects_come_out(result):
    found = result.frame().set_index("loss")
    assert found["moves"].to_dict() == {
        "fpl": "tail to head",
        "l1-perturbed": "no effect",
        "fpl-shuffled": "no effect",
        "mine:MyLoss": "head to tail",
        "bicubic-ad-gamma4": "higher in both",
    }
    assert found["psnr_verdict"].to_dict() == {
        "fpl": "effect",
        "l1-perturbed": "no effect",
        "fpl-shuffled": "no effect",
        "mine:MyLoss": "no effect",
        "bicubic-ad-gamma4": "effect",
    }
    assert found["control"].sum() == 3
    assert found["number"].tolist() == [1, 2, 3, 4, 5]
    assert found.index[0] == "fpl"
    assert found.index[-1] == "bicubic-ad-gamma4"
    assert found.loc["fpl", "title"] == "FPL"
    # 0.1 dB for each doubling of L1's iterations.
    assert found.loc["fpl", "l1_iterations"] == pytest.approx(2**0.3, abs=0.05)
    at_equal_time = found.loc["mine:MyLoss", ["psnr_db", "gain_at_equal_time_db"]]
    assert at_equal_time.iloc[0] - at_equal_time.iloc[1] == pytest.approx(0.058, abs=0.01)


def test_the_words(result):
    assert result.message() == (
        "Against L1, PSNR rises with 1 of 2 losses, and error moves from the tail to the head "
        "with 1"
    )
    slight = result.frame().assign(
        psnr_verdict="effect below the margin", moves="tail to head, below the margin"
    )
    assert replace(result, verdicts=slight).message() == (
        "Against L1, PSNR rises with 1 of 2 losses (1 below the margin of 0.01 dB), and error "
        "moves from the tail to the head with 2 (2 below the margin of 0.02 levels)"
    )
    noisy = result.frame().assign(own_variance=["psnr_db", "", "", "", ""])
    assert "For FPL (psnr_db), runs vary more than" in replace(result, verdicts=noisy).caption()
    assert replace(result, verdicts=noisy).settings()["own_variance"] == {"fpl": "psnr_db"}
    single = replace(result, verdicts=result.frame().assign(seeds=[1, 5, 5, 1, 5]))
    assert "No intervals for losses with one seed (FPL and " in single.caption()
    caption = result.caption()
    assert "one seed" not in caption
    assert "after 4,000 iterations of fsrcnn x4 on 638 images, on held-out." in caption
    assert "small marks are seeds (5 to 12 a loss)" in caption
    assert "in 10,000 draws of 5 of the 12 pairs of L1 and perturbed L1" in caption
    assert caption.endswith("15 of 22 planned runs are done.")
    header, _, first, *_ = result.markdown().splitlines()
    assert first.startswith("| 1 | FPL | 10 | +0.0")
    assert header.count("|") == first.count("|")
    assert "| FPL shuffled in space (control) | 5 |" in result.markdown()


def test_the_picture_shows_every_loss_and_seed(result):
    with paper_style():
        figure = study.draw(result)
        figure.draw_without_rendering()
    gradient, bicubic_ad, psnr = figure.axes[:3]
    labels = [label.get_text() for label in psnr.get_yticklabels()]
    assert (labels[0], labels[-1]) == ("FPL  1", "static prior, gamma 4  5")
    for ax in (gradient, bicubic_ad):
        points = [len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes")]
        assert sum(points) >= len(result.differences) + len(result.frame())
        # Losses without an effect lie in the box, and bear no number.
        assert {text.get_text() for text in ax.texts if text.get_text().isdigit()} == {
            str(n)
            for n, loss in zip(result.frame()["number"], result.frame()["loss"], strict=True)
            if loss in ("fpl", "bicubic-ad-gamma4", "mine:MyLoss")
        }
        low, high = ax.get_xlim()
        assert low < result.differences["head_gradient"].min()
        assert high > result.differences["head_gradient"].max()


def test_mistakes(bench, tmp_path):
    table, gradients, _ = study.read_bench(bench)
    with pytest.raises(InputError, match="no scores on 'Set5', expected one of held-out"):
        study.compute(table, gradients, dataset="Set5")
    # L1 alone was run for longer: there is nothing to compare it with.
    with pytest.raises(InputError, match=r"iterations 6,000: no losses to .* 4,000$"):
        study.compute(table, gradients, iterations=6000)
    with pytest.raises(InputError, match="no loss with a seed in common with l1"):
        study.compute(table.query("loss == 'l1'"), gradients, iterations=6000)
    with pytest.raises(InputError, match=r"losses.csv: no such table, expected one of 'srlongtail"):
        study.read_bench(tmp_path / "losses.csv")
    (tmp_path / "losses.csv").write_text("loss,seed\nl1,0\n")
    with pytest.raises(InputError, match="without dataset, ranked_by, iterations"):
        study.read_bench(tmp_path / "losses.csv")


def test_verdicts_replayed_from_the_runs_that_ship():
    """PSNR of the parts of FPL over the skip alone: three seeds a loss, as SciPy computes them."""
    table = pd.read_csv(ZOO / "skip-static-learnable.csv").query("dataset == 'Set5' and skip")
    names = {"skip": "l1", "skip-static": "static", "skip-learnable": "learnable"}
    runs = table.assign(loss=table["arm"].replace({**names, "skip-static-learnable": "fpl"}))
    found = paired_effects(runs, ["psnr_db"]).set_index("loss")
    scores = runs.pivot(index="seed", columns="loss", values="psnr_db")
    for loss in ("static", "learnable", "fpl"):
        gain = (scores[loss] - scores["l1"]).mean()
        assert found.loc[loss, "estimate"] == pytest.approx(gain)
    # Without the seeds' means, the spread within the losses is that of chance, of 6 degrees of
    # freedom, where a one-way analysis would have 8.
    rest = scores.sub(scores.mean(axis=1), axis=0)
    rest -= rest.mean()
    error = np.sqrt((rest**2).to_numpy().sum() / 6 * 2 / 3)
    half = (found["high"] - found["estimate"]) / error
    studentized = scipy.stats.studentized_range.ppf(0.95, 4, 6) / np.sqrt(2)  # of all pairs
    single = scipy.stats.t.ppf(0.975, 6)
    assert ((single < half) & (half < studentized)).all()
    assert half.to_numpy() == pytest.approx(3.10, abs=0.03)  # Dunnett's table: 3 and 6


def test_the_controls_of_the_bench_that_ships():
    """What can have no effect has none; a weight far too strong lowers PSNR."""
    table, gradients, record = study.read_bench()
    result = study.compute(table, gradients, record=record)
    verdicts = result.verdicts.set_index("loss")
    for loss in ("l1-perturbed", "l1-half", "fpl-shuffled", "fpl-other-image"):
        assert verdicts.loc[loss, "psnr_verdict"] in ("no effect", "undecided")
        assert verdicts.loc[loss, "moves"] in ("no effect", "undecided")
    strong = result.differences["loss"] == "bicubic-ad-gamma4"
    assert strong.sum() > 1
    assert (result.differences.loc[strong, "psnr_db"] < -0.05).all()


def test_the_bench_that_ships_is_whole_and_agrees_with_its_record():
    table, gradients, record = study.read_bench()
    keys = ["loss", "seed", "iterations"]
    runs = table[keys].drop_duplicates()
    assert set(map(tuple, gradients[keys].values)) == set(map(tuple, runs.values))
    done = {
        (row["loss"], seed, row["iterations"]) for row in record["complete"] for seed in row["done"]
    }
    assert set(map(tuple, runs.values)) == done
    assert set(table["dataset"]) == {data["name"] for data in record["data"]}
    rows = table.groupby([*keys, "dataset", "ranked_by"])["tenth"].apply(list)
    assert all(tenths == list(range(1, 11)) for tenths in rows)
    assert len(rows) == len(runs) * table["dataset"].nunique() * 2
    assert table.notna().all(axis=None)
    # Mean error is the same, whatever ranks the pixels: the tenths of both are as large.
    means = table.groupby([*keys, "dataset", "ranked_by"])["ad_levels"].mean().unstack()
    assert means["gradient"].to_numpy() == pytest.approx(means["bicubic_ad"].to_numpy(), rel=1e-3)
