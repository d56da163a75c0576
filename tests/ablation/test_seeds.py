"""The spread over seeds against one computed by hand."""

import pandas as pd
import pytest

from srlongtail.ablation.seeds import SeedSpread, seed_spread


def test_the_spread_is_that_of_paired_gains(tmp_path):
    psnr = {"baseline": (27.0, 27.5, 27.2), "fpl": (28.0, 28.7, 28.3)}
    rows = [(arm, n, 8000, "Set5", v) for arm, values in psnr.items() for n, v in enumerate(values)]
    table = pd.DataFrame(rows, columns=["arm", "seed", "iterations", "dataset", "psnr_db"])
    path = tmp_path / "seeds.csv"
    table.to_csv(path, index=False)
    assert seed_spread("Set5", path) == SeedSpread(3, 8000, pytest.approx(1.1), pytest.approx(0.1))
    assert seed_spread("Set14", path) is None
    table[table["seed"] == 0].to_csv(path, index=False)
    assert seed_spread("Set5", path) is None
    assert seed_spread("Set5", tmp_path / "none.csv") is None
