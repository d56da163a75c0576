"""Verdicts on planted numbers, and the whole table on small images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_1samp

import srlongtail
from srlongtail.ablation.grids import find_grid
from srlongtail.diagnosis import claims
from srlongtail.diagnosis.claims import COLUMNS, Claim, Claims, compute, judge, paired, weakest
from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data
from srlongtail.image.io import write_image
from srlongtail.models.checkpoint import load_model
from srlongtail.stats import Interval
from tests.conftest import soft_noise


@pytest.mark.parametrize(
    ("claim", "p_value", "verdict"),
    [
        (Claim("c", "m", found=Interval(2, 1, 3), n=10), 0.01, "supported"),
        (Claim("c", "m", found=Interval(-2, -3, -1), n=10), 0.01, "contradicted"),
        (Claim("c", "m", 1.0, False, Interval(0.2, 0, 0.4), 10), 0.01, "supported"),
        (Claim("c", "m", 1.0, False, Interval(2, 1.5, 2.5), 10), 0.01, "contradicted"),
        (Claim("c", "m", found=Interval(2, -1, 5), n=10), 0.2, "undecided at this sample"),
        (Claim("c", "m", found=Interval(2, 1, 3), n=10), 0.06, "undecided at this sample"),
        (Claim("c", "m", found=Interval(2, 1, 3), n=10), np.nan, "undecided at this sample"),
        (Claim("c", "m", found=Interval(2, 1, 3), n=9), np.nan, "too few images"),
        (Claim("c", "m", found=Interval(2, 1, 3), n=3, needed=3), 0.01, "supported"),
        (Claim("c", "m"), np.nan, "not measured"),
    ],
)
def test_the_rule(claim, p_value, verdict):
    assert judge(claim, p_value) == verdict


def test_claims_are_corrected_together_and_those_without_verdict_do_not_count():
    found = Interval(2, 1, 3)
    made = [Claim(f"c{p}", "m", found=found, n=12, p_value=p) for p in (0.03, 0.001, 0.04)]
    few = Claim("few", "m", found=found, n=5, p_value=0.001)
    result = Claims((*made, few, Claim("none", "m")), {"a": 12}, {})
    assert result.p_values()[:3] == pytest.approx([0.06, 0.003, 0.06])
    undecided = "undecided at this sample"
    expected = [undecided, "supported", undecided, "too few images", "not measured"]
    assert result.frame()["verdict"].tolist() == expected


def test_a_claim_of_several_parts_is_as_strong_as_its_weakest():
    up = paired("c", "up", [1.0, 1.1, 0.9], needed=3)
    unclear = paired("c", "unclear", [1.0, -0.5, 0.4], needed=3)
    down = paired("c", "down", [-1.0, -1.1, -0.9], needed=3)
    assert weakest([up, unclear]) == unclear
    assert weakest([unclear, up, down]).measure == "down"
    assert weakest([up, down]).p_value == pytest.approx(2 * down.p_value)


def grid(tmp_path, head, tail):
    """A table of ablate with a change planted in each seed; a part of FPL is there to mislead."""
    rows = [
        (seed, 4000, True, static, learnable, data)
        + ((9, 9, 9) if static != learnable else (2 + head * static, 20 + tail * static, 27))
        for static in (False, True)
        for learnable in (False, True)
        for seed in range(3)
        for data in ("one", "two")
    ]
    names = ["seed", "iterations", "skip", "static", "learnable", "dataset"]
    table = pd.DataFrame(rows, columns=[*names, "head_ad_levels", "tail_ad_levels", "psnr_db"])
    spread = 0.1 * table["seed"] * table["static"]
    table["tail_ad_levels"] += spread
    table.assign(arm="named otherwise").to_csv(tmp_path / "grid.csv", index=False)
    return tmp_path / "grid.csv"


def test_a_shift_of_error_needs_a_rise_in_the_head(tmp_path):
    for head, verdict in ((0.5, "supported"), (-0.5, "contradicted")):
        shift, gain = claims._from_grid(grid(tmp_path, head, -3.0))
        assert judge(shift, shift.p_value) == verdict
        assert (shift.n, gain.n, gain.found.estimate) == (3, 3, 0)
        assert "ranked by bicubic's AD" in shift.measure


def capacity(tmp_path, slope):
    """A table of a grid of four sizes: the gain changes by `slope` dB for each doubling."""
    rows = [
        (seed, 4000, True, fpl, fpl, parameters, data)
        for seed in range(3)
        for parameters in (6000, 12000, 24000, 48000)
        for fpl in (False, True)
        for data in ("one", "two")
    ]
    names = ["seed", "iterations", "skip", "static", "learnable", "parameters", "dataset"]
    table = pd.DataFrame(rows, columns=names)
    size = np.log2(table["parameters"])
    gain = table["static"] * (0.5 + (slope + 0.001 * table["seed"]) * size)
    table.assign(psnr_db=27 + size + gain).to_csv(tmp_path / "capacity.csv", index=False)
    return tmp_path / "capacity.csv"


def test_smaller_networks_gain_more_if_the_gain_falls_with_size(tmp_path):
    for slope, verdict in ((-0.02, "supported"), (0.02, "contradicted"), (-0.001, "undecided")):
        claim = claims._smaller_networks(capacity(tmp_path, slope))
        assert judge(claim, claim.p_value).startswith(verdict)
        assert claim.n == 3
        assert claim.found.estimate == pytest.approx(-slope - 0.001)
    assert "6,000 to 48,000 parameters" in claim.measure
    missing = claims._smaller_networks(None)
    assert judge(missing, missing.p_value) == "not measured"


def test_the_grid_of_sizes_that_ships_is_whole():
    table = pd.read_csv(claims.CAPACITY)
    planned = {(arm, recipe.seed) for arm, recipe in find_grid("capacity").runs()}
    for _, rows in table.groupby("dataset"):
        assert sorted(zip(rows["arm"], rows["seed"], strict=True)) == sorted(planned)
    assert sorted(set(table["parameters"])) == [4243, 10503, 24515, 97019]
    claim = claims._smaller_networks(claims.CAPACITY)
    means = table.groupby(["seed", "parameters", "static"])["psnr_db"].mean().unstack()
    gains = (means[True] - means[False]).unstack("seed")
    slopes = np.polynomial.Polynomial.fit(np.log2(gains.index), gains.mean(axis=1), 1).convert()
    assert claim.found.estimate == pytest.approx(-slopes.coef[1])
    assert claim.n == 3


def test_tables_that_say_nothing_of_the_size(tmp_path):
    table = pd.read_csv(capacity(tmp_path, 0.1))
    for rows, message in (
        (
            table.drop(columns="parameters"),
            r"capacity\.csv: no columns parameters, expected a table",
        ),
        (table[~table["static"]], "no rows of FPL, expected networks with the skip and FPL"),
        (table[table["parameters"] == 6000], "no seed with several sizes"),
    ):
        rows.to_csv(tmp_path / "capacity.csv", index=False)
        with pytest.raises(InputError, match=message):
            claims._smaller_networks(tmp_path / "capacity.csv")


def windows_of(reliable):
    """Attributions of two windows in each of ten images; FPL uses one pixel more, or 100."""
    rows = [
        ("d", str(image), 0, row, 0, model, 20.0 + (model == "fpl") * gain, trusted)
        for image in range(10)
        for row, (gain, trusted) in enumerate(((1 + image / 100, True), (-100.0, reliable)))
        for model in ("base", "fpl")
    ]
    columns = ["dataset", "image", "seed", "row", "col", "model", "n_eff", "reliable"]
    return pd.DataFrame(rows, columns=columns)


def test_windows_with_doubtful_maps_are_left_out_and_told():
    claim = claims._pixels_used(windows_of(reliable=False), 2)
    assert claim.found.estimate == pytest.approx(1.045)
    assert judge(claim, claim.p_value) == "supported"
    assert "10 of 20 windows left out, maps not reliable" in claim.measure
    claim = claims._pixels_used(windows_of(reliable=True), 2)
    assert judge(claim, claim.p_value) == "contradicted"
    assert "left out" not in claim.measure
    none = claims._pixels_used(windows_of(False).assign(reliable=False), 2)
    assert judge(none, none.p_value) == "not measured"


def fitting(folder, head, tail):
    """What `srlongtail fitting` writes; an early iteration is there to mislead."""
    columns = ["iteration", "band", "images", "gap_percent", "low_percent", "high_percent"]
    last = [(20, band, 40, gap, gap - 0.2, gap + 0.2) for band, gap in (head, tail)]
    early = [(10, band, 40, -9, -10, -8) for band in ("head", "tail")]
    pd.DataFrame(early + last, columns=columns).to_csv(folder / "fitting.csv", index=False)
    record = {"settings": {"images_of_halves": [15, 16]}}
    (folder / "fitting.json").write_text(json.dumps(record))
    return folder


def test_a_gap_that_costs_a_tenth_of_a_decibel_divides_over_from_under_fitted(tmp_path):
    assert -20 * np.log10(1 - claims.SMALL_GAP / 100) == pytest.approx(0.1)
    for gap, verdicts in (
        (3.0, ["supported", "contradicted"]),
        (1.2, ["undecided at this sample"] * 2),
        (0.5, ["contradicted", "supported"]),
    ):
        fit = claims._read_fitting(fitting(tmp_path, ("head", gap), ("tail", gap)))
        found = [claims._fitted(fit, band) for band in ("head", "tail")]
        assert [judge(claim, claim.p_value) for claim in found] == verdicts
        assert "runs of 20 iterations on 15 and 16 images" in found[0].measure


def test_several_cross_fittings_have_rows_of_their_own(tmp_path):
    folders = [tmp_path / name for name in ("few", "many")]
    for folder, gap in zip(folders, (3.0, 0.5), strict=True):
        folder.mkdir()
        fitting(folder, ("head", gap), ("tail", gap))
    found = claims._from_fitting(folders)
    assert [claim.claim for claim in found] == [
        "The head is over-fitted, few",
        "The tail is under-fitted, few",
        "The head is over-fitted, many",
        "The tail is under-fitted, many",
    ]
    assert [claim.found.estimate for claim in found] == [3.0, 3.0, 0.5, 0.5]
    twice = [tmp_path / "few", tmp_path / "copy" / "few"]
    twice[1].mkdir(parents=True)
    fitting(twice[1], ("head", 1), ("tail", 1))
    names = {claim.claim for claim in claims._from_fitting(twice)}
    assert len(names) == 4
    none = claims._from_fitting([])
    assert [judge(claim, claim.p_value) for claim in none] == ["not measured"] * 2


def test_the_p_value_of_an_interval_is_that_of_the_t_test():
    values = [0.4, 1.2, 0.1, 0.9]
    claim = paired("c", "m", values, needed=3)
    for expected in (0.0, 2.0):
        p_value = claims._p_value_of_interval(claim.found, expected, 4)
        assert p_value == pytest.approx(ttest_1samp(values, expected).pvalue)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed in range(2):
        write_image(folder / f"{seed}.png", soft_noise(48, 48, seed))
    return [open_data(folder, 4)]


def test_the_table_of_three_networks(images, tmp_path):
    models = [[load_model(f"fsrcnn-{arm}x4")] for arm in ("", "skip-", "fpl-")]
    folder = fitting(tmp_path, ("head", 3), ("tail", 0.5))
    sizes = capacity(tmp_path, -0.1)
    result = compute(*models, images, fitting=[folder], capacity=sizes, windows=2)
    table = result.frame()
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 9
    assert (table["verdict"][[3, 4, 7]] == "supported").all()
    assert (table["verdict"].drop([3, 4, 7]) == "too few images").all()
    assert table["claim"].str.startswith("In these networks").sum() == 2
    assert "higher Gini" in result.caption()
    assert "the network that departs more from bicubic looks worse" in result.caption()
    assert "ranked by HR gradient" in table["measure"][5]
    assert len(claims.draw(result).axes) == 27
    # PSNR is that of `evaluate`.
    scores = evaluate([models[2][0], models[1][0]], images)["psnr_db"].to_numpy().reshape(2, 2)
    assert table["estimate"][6] == pytest.approx((scores[0] - scores[1]).mean())


def test_three_networks_an_arm_are_seeds(images):
    """Seeds 0, 1 and 2 of FPL add 0, 1 and 2 thousandths of noise to one network."""
    skip = load_model("fsrcnn-skip-x4")
    fpl = []
    for seed in range(3):
        model = load_model("fsrcnn-fpl-x4")
        model.name = "same"  # names do not matter
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight += 1e-3 * seed * torch.randn(weight.shape, generator=generator)
        fpl.append(model)
    result = compute(3 * [load_model("fsrcnn-x4")], 3 * [skip], fpl, images, windows=2)
    shift, gain = result.claims[5:7]
    assert (shift.n, gain.n, gain.needed) == (3, 3, 3)
    assert gain.claim == "FPL raises PSNR beyond the skip"
    scores = [evaluate([model], images)["psnr_db"].mean() for model in (*fpl, skip)]
    changes = np.subtract(scores[:3], scores[3])
    assert len(set(changes)) == 3
    assert gain.found.estimate == pytest.approx(changes.mean())
    assert gain.p_value == pytest.approx(ttest_1samp(changes, 0).pvalue)
    # Over images, the claims about these networks have as many values as images.
    assert result.claims[8].n == 2


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(images, tmp_path):
    folder = images[0].files[0].parent
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(Path(srlongtail.__file__).parents[1])}
    for name, start in (("one", []), ("two", launch)):
        command = [sys.executable, *start, "-m", "srlongtail.cli", "claims"]
        command += ["--data", str(folder), "--out", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True, env=environment)
    one, two = (pd.read_csv(tmp_path / name / "claims.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-6)


def test_what_is_refused(images, tmp_path):
    model = load_model("fsrcnn-skip-x4")
    with pytest.raises(InputError, match="fpl: no network"):
        compute([model], [model], [], images)
    with pytest.raises(InputError, match="base of 1, skip of 3, fpl of 4 networks"):
        compute([model], 3 * [model], 4 * [model], images)
    with pytest.raises(InputError, match=r"no fitting\.csv"):
        claims._read_fitting(tmp_path)
