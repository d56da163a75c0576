"""Verdicts on planted numbers, and the whole table on small images."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from srlongtail.diagnosis import claims
from srlongtail.diagnosis.claims import COLUMNS, Claim, Claims, compute, judge, paired, weakest
from srlongtail.errors import InputError
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
    rows = [
        (arm, seed, 4000, data, 2 + head * fpl, 20 + tail * fpl + 0.1 * seed * fpl, 27 + 0.1 * seed)
        for fpl, arm in enumerate(("skip", "skip-static-learnable"))
        for seed in range(3)
        for data in ("one", "two")
    ]
    names = ["arm", "seed", "iterations", "dataset", "head_ad_levels", "tail_ad_levels", "psnr_db"]
    path = tmp_path / "grid.csv"
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    return path


def test_a_shift_of_error_needs_a_rise_in_the_head(tmp_path):
    for head, verdict in ((0.5, "supported"), (-0.5, "contradicted")):
        shift, gain = claims._from_grid(grid(tmp_path, head, -3.0))
        assert judge(shift, shift.p_value) == verdict
        assert (shift.n, gain.n, gain.found.estimate) == (3, 3, 0)


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
    rows = [(20, band, 40, gap, gap - 0.2, gap + 0.2) for band, gap in (("head", 3), ("tail", 0.5))]
    columns = ["iteration", "band", "images", "gap_percent", "low_percent", "high_percent"]
    old = [(10, band, 40, -9, -10, -8) for band in ("head", "tail")]
    pd.DataFrame(old + rows, columns=columns).to_csv(tmp_path / "fitting.csv", index=False)
    result = compute(*models, images, fitting=tmp_path, windows=2)
    table = result.frame()
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 9
    fitted = table.set_index("claim")["verdict"].iloc[3:5].tolist()
    assert fitted == ["supported", "supported"]
    assert (table["verdict"].drop([3, 4, 7]) == "too few images").all()
    assert table["claim"].str.startswith("In these networks").sum() == 2
    assert "higher Gini" in result.caption()
    assert len(claims.draw(result).axes) == 27


def test_what_is_refused(images, tmp_path):
    model = load_model("fsrcnn-skip-x4")
    with pytest.raises(InputError, match="fpl: no network"):
        compute([model], [model], [], images)
    with pytest.raises(InputError, match="base of 1, skip of 3, fpl of 4 networks"):
        compute([model], 3 * [model], 4 * [model], images)
    with pytest.raises(InputError, match=r"no fitting\.csv"):
        claims._read_fitting(tmp_path)
