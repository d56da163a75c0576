"""Choosing windows, and what many of them say, in one process and in two."""

import runpy
import subprocess
import sys
import weakref
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.attribution.lam import local_attribution, map_of
from srlongtail.attribution.windows import (
    WindowComparison,
    attribute_grid,
    compare_by_band,
    grid_windows,
    hardest_window,
    windows_by_band,
)
from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import upsample_bicubic


def test_the_hardest_window_by_brute_force():
    difference = torch.rand(40, 50, generator=torch.Generator().manual_seed(0)) ** 6
    tail = difference > np.quantile(difference.numpy(), 0.9)
    shares = {
        (row, column): tail[row : row + 7, column : column + 7].double().mean().item()
        for row in range(34)
        for column in range(44)
    }
    (row, column, size), share = hardest_window(difference, 7)
    assert size == 7
    assert share == pytest.approx(max(shares.values()))
    assert shares[row, column] == pytest.approx(share)


def test_of_equal_windows_the_one_with_the_larger_difference():
    difference = torch.zeros(60, 60)
    difference[5:13, 5:13] = 1
    difference[40:48, 30:38] = 2
    assert hardest_window(difference, 8) == ((40, 30, 8), 1.0)


def test_windows_larger_than_the_image():
    with pytest.raises(InputError, match="window of size 16, expected 1 to 12"):
        hardest_window(torch.rand(12, 20))
    with pytest.raises(InputError, match="size 16 every 16 pixels, expected a size from 1 to 12"):
        grid_windows(12, 20)
    with pytest.raises(InputError, match="a step of at least 1"):
        grid_windows(32, 32, 16, 0)


def test_a_grid_covers_the_image():
    covered = torch.zeros(50, 70, dtype=torch.long)
    for row, column, size in grid_windows(50, 70, 10, 10):
        covered[row : row + size, column : column + size] += 1
    assert (covered == 1).all()
    assert grid_windows(20, 20, 16, 2)[:3] == [(0, 0, 16), (0, 2, 16), (0, 4, 16)]


def test_bands_are_ordered_by_difficulty_and_repeat():
    difference = torch.rand(160, 160, generator=torch.Generator().manual_seed(0)).cumsum(0)
    drawn = windows_by_band(difference, bands=5, per_band=3)
    assert [band for band, _ in drawn] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3 + [5] * 3
    assert len({window for _, window in drawn}) == 15
    means = [float(difference[r : r + s, c : c + s].mean()) for _, (r, c, s) in drawn]
    for easy, hard in zip(range(0, 12, 3), range(3, 15, 3), strict=True):
        assert max(means[easy : easy + 3]) <= min(means[hard : hard + 3])
    assert windows_by_band(difference, bands=5, per_band=3) == drawn
    assert windows_by_band(difference, bands=5, per_band=3, seed=1) != drawn
    with pytest.raises(InputError, match="at most 4 bands, the number of 16 x 16 windows"):
        windows_by_band(torch.rand(32, 40))


def test_a_grid_holds_what_each_window_says(network, lr):
    grid = attribute_grid(network, lr, step=32, n_steps=5)
    assert grid.map().shape == (3, 4)
    for row, line in zip((0, 32, 64), grid.map("diffusion_index"), strict=True):
        for column, value in zip((0, 32, 64, 96), line, strict=True):
            alone = local_attribution(network, lr, (row, column, 16), n_steps=5)
            assert value.item() == pytest.approx(alone.diffusion_index, rel=1e-5)
    table = grid.frame()
    assert table[["row", "col"]].to_numpy().tolist()[:2] == [[0, 0], [0, 32]]
    assert (table["nan_steps"] == 0).all()


def pairs(count):
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        lr = torch.rand(3, 12, 12, generator=generator)
        yield ImagePair(f"image{index}", upsample_bicubic(lr, 4), lr)


def difference(pair):
    return pair.hr.mean(0).diff(dim=1, append=torch.zeros(48, 1)).abs()


def test_two_networks_are_compared_on_the_same_windows(network):
    models = {"bicubic": lambda lr: upsample_bicubic(lr, 4), "network": network}
    found = compare_by_band(models, list(pairs(3)), difference, bands=3, per_band=2, n_steps=4)
    table = found.frame()
    assert list(table.columns[:6]) == ["model", "image", "band", "row", "col", "size"]
    assert len(table) == 2 * 3 * 3 * 2
    assert table["image"].unique().tolist() == ["image0", "image1", "image2"]
    places = ["image", "band", "row", "col"]
    one, two = (table[table["model"] == name][places].reset_index(drop=True) for name in models)
    assert one.equals(two)
    summary = found.summary(seed=1, resamples=200)
    assert summary["band"].tolist() == [1, 2, 3]
    assert summary["images"].tolist() == [3, 3, 3]
    means = table.groupby(["model", "band"])["n_eff"].mean()
    expected = means["network"] - means["bicubic"]
    assert summary["difference"].to_numpy() == pytest.approx(expected.to_numpy())
    assert (summary["low"] <= summary["difference"]).all()
    assert (summary["difference"] <= summary["high"]).all()
    with pytest.raises(InputError, match="1 networks and 1 images, expected two networks"):
        compare_by_band({"bicubic": network}, list(pairs(1)), difference)
    with pytest.raises(
        InputError, match="and 0 images, expected two networks to compare and at least one"
    ):
        compare_by_band(models, [], difference)


class Loaded(Sequence):
    """Images made when asked for, which remembers how many of them were alive at once."""

    def __init__(self, count):
        self.count = count
        self.alive = weakref.WeakSet()
        self.most = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        lr = torch.rand(3, 12, 12)
        self.alive.add(lr)
        self.most = max(self.most, len(self.alive))
        return ImagePair(str(index), upsample_bicubic(lr, 4), lr)


def test_images_and_maps_are_not_kept(network, lr, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()
    most = []

    def watched(*arguments, **settings):
        found = map_of(*arguments, **settings)
        alive.add(found.attributions)
        most.append(len(alive))
        return found

    monkeypatch.setattr("srlongtail.attribution.lam.map_of", watched)
    monkeypatch.setattr("srlongtail.attribution.shared.map_of", watched)
    loaded = Loaded(5)
    models = {"a": lambda lr: upsample_bicubic(lr, 4), "b": network}
    compare_by_band(models, loaded, difference, bands=2, n_steps=1)
    assert loaded.most <= 2  # the next one is made before the last one is let go
    attribute_grid(network, lr, n_steps=1)
    assert len(most) == 5 * 2 * 2 + 6 * 7
    assert max(most) <= 2


def test_the_interval_is_over_images_not_windows():
    rows = [
        {"model": model, "image": image, "band": 1, "n_eff": value + gain * (model == "b")}
        for image, gain in (("i", 1.0), ("j", 3.0))
        for value in range(50)
        for model in "ab"
    ]
    summary = WindowComparison(("a", "b"), pd.DataFrame(rows)).summary()
    half = 12.7062  # of Student's t with one degree of freedom; the standard error is 1
    assert summary.loc[0].tolist() == pytest.approx([1, 2, 2, 2 - half, 2 + half], abs=1e-3)


SCRIPT = """
import sys
import torch
from srlongtail.attribution.windows import attribute_grid, compare_by_band
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import upsample_bicubic
from srlongtail.parallel import is_writer, process_group

torch.set_num_threads(1)
torch.manual_seed(0)
conv = torch.nn.Sequential(torch.nn.Conv2d(3, 48, 3, padding=1), torch.nn.PixelShuffle(4))
lrs = torch.rand(3, 3, 16, 12)
pairs = [ImagePair(str(i), upsample_bicubic(lr, 4), lr) for i, lr in enumerate(lrs)]
with process_group():
    grid = attribute_grid(conv, lrs[0], n_steps=3)
    models = {"a": lambda lr: upsample_bicubic(lr, 4), "b": conv}
    both = compare_by_band(models, pairs, lambda p: p.hr[0], bands=2, n_steps=3)
    if is_writer():
        grid.frame().to_csv(sys.argv[1] + "/grid.csv")
        both.frame().to_csv(sys.argv[1] + "/both.csv", index=False)
"""


def test_two_processes_share_windows_and_images_out(tmp_path, monkeypatch):
    script, alone, shared = (tmp_path / name for name in ("run.py", "alone", "shared"))
    script.write_text(SCRIPT)
    for folder in (alone, shared):
        folder.mkdir()
    monkeypatch.setattr(sys, "argv", [str(script), str(alone)])
    runpy.run_path(str(script))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [sys.executable, *launch, str(script), str(shared)]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("grid.csv", "both.csv"):
        assert (shared / name).read_text() == (alone / name).read_text()
    assert len((shared / "grid.csv").read_text().splitlines()) == 1 + 4 * 3
    assert len((shared / "both.csv").read_text().splitlines()) == 1 + 3 * 2 * 2
