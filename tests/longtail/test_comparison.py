"""Parts add up to the protocol's gain; planted faults are found where they were planted."""

import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from scipy.ndimage import uniform_filter1d
from scipy.stats import percentileofscore

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, make_pair, photos
from srlongtail.image.degrade import Bicubic
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.comparison import (
    ORIENTATIONS,
    WINDOW_STRIDE,
    Comparison,
    WindowCounts,
    WindowGain,
    compare,
    orientation_of,
)
from srlongtail.longtail.spectrum import error_spectrum, tail_frequency
from srlongtail.longtail.tail import difficulty, split_by_rank
from srlongtail.metrics import PAPER

CROPS = ((0, 100, 180), (1, 60, 100), (2, 120, 200))  # photo, row, column


def bicubic(lr: torch.Tensor) -> torch.Tensor:
    return upsample_bicubic(lr, 4)


def nearest(lr: torch.Tensor) -> torch.Tensor:
    return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


@pytest.fixture(scope="module")
def pairs() -> list[ImagePair]:
    """Crops of photos, of different sizes, one of them odd in LR pixels."""
    found = []
    for number, (index, row, column) in enumerate(CROPS):
        height, width = 96 + 12 * number, 132 - 12 * number
        hr = photos(4)[index].hr[:, row : row + height, column : column + width]
        found.append(make_pair(hr, Bicubic(4), f"crop{number}", "crops"))
    return found


def spoiled(pairs, change):
    """A restorer whose image is that of `change(pair)`, looked up by its LR image."""

    def restore(lr):
        return next(change(pair) for pair in pairs if torch.equal(pair.lr, lr))

    return restore


@pytest.fixture(scope="module")
def found(pairs) -> Comparison:
    return compare(nearest, bicubic, pairs)


def test_the_gain_is_that_of_the_protocol(pairs, found):
    for pair, gain in zip(pairs, found.gains, strict=True):
        scores = [PAPER.score(f(pair.lr), pair.hr, 4).psnr_db for f in (nearest, bicubic)]
        assert gain == pytest.approx(scores[1] - scores[0], abs=1e-9)
    assert found.gain.estimate == pytest.approx(found.gains.mean(), abs=1e-12)
    table = found.per_image()
    differences = table["psnr_b_db"] - table["psnr_a_db"]
    assert differences.to_numpy() == pytest.approx(found.gains, abs=1e-9)


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_decomposition_adds_up(pairs, seeds):
    noisy = {str(i): noise(i, 0.01 * (i + 1)) for i in range(seeds)}
    found = compare(noisy, {"b": bicubic, "c": nearest}, pairs)
    for image in found.images:
        for by, parts in image.parts.items():
            assert parts.sum() == pytest.approx(image.gain_db, abs=1e-9), by
            assert image.shares[by].sum() == pytest.approx(1, abs=1e-12), by
    totals = found.frame().groupby("by")["gain_db"].sum()
    assert len(totals) == 6
    assert totals.to_numpy() == pytest.approx(found.gain.estimate, abs=1e-9)
    assert found.map.gain_db.double().mean() == pytest.approx(
        found.strongest_image.gain_db, abs=1e-6
    )


def noise(seed: int, strength: float):
    def restore(lr):
        generator = torch.Generator().manual_seed(seed)
        sr = bicubic(lr)
        return sr + strength * torch.randn(sr.shape, generator=generator)

    return restore


def test_checkpoints_count_by_their_mean_psnr(pairs):
    a, b = {"1": nearest, "2": noise(0, 0.02)}, {"1": bicubic, "2": noise(1, 0.01), "3": nearest}
    found = compare(a, b, pairs)
    for pair, gain in zip(pairs, found.gains, strict=True):
        means = [
            np.mean([PAPER.score(f(pair.lr), pair.hr, 4).psnr_db for f in side.values()])
            for side in (a, b)
        ]
        assert gain == pytest.approx(means[1] - means[0], abs=1e-9)


def test_tenths_hold_the_errors_of_their_pixels(pairs, found):
    """Rederived from the definition, with a perfectly ordinary logarithm."""
    pair, image = pairs[0], found.images[0]
    inside = (..., slice(4, -4), slice(4, -4))
    a, b = (
        ((f(pair.lr).clamp(0, 1).mul(255).add(0.5).floor() - pair.hr.mul(255)).double() ** 2)
        .mean(0)[inside]
        .flatten()
        for f in (nearest, bicubic)
    )
    worth = 10 * torch.log10(a.mean() / b.mean()) / (a.mean() - b.mean())
    ranks = split_by_rank(difficulty(pair.hr, bicubic(pair.lr), "gradient")[inside])
    expected = [float(worth * (a - b)[tenth].sum() / len(a)) for tenth in ranks]
    assert image.parts["gradient tenth"] == pytest.approx(expected, abs=1e-4)
    assert image.mse_a[0] == pytest.approx(float(a.mean()), rel=1e-5)
    assert image.mse_b[0] == pytest.approx(float(b.mean()), rel=1e-5)


def test_what_b_gains_over_a_is_what_a_loses(pairs, found):
    back = compare(bicubic, nearest, pairs)
    assert (back.gains == -found.gains).all()
    for one, other in zip(found.images, back.images, strict=True):
        for by in one.parts:
            assert np.abs(one.parts[by] + other.parts[by]).max() < 1e-14
        assert one.change.gross_db == other.change.gross_db
    assert torch.equal(back.map.gain_db, -found.map.gain_db)
    assert back.strongest_image.image == found.strongest_image.image
    ends = (back.gain.low, back.gain.high)
    assert ends == pytest.approx((-found.gain.high, -found.gain.low), abs=1e-12)


def test_identical_networks_gain_nothing(pairs):
    found = compare(bicubic, bicubic, pairs, window=(4, 8, 16))
    numbers = found.summary()
    assert found.gain[:3] == (0, 0, 0)
    for name in ("pixels_with_90_percent_of_gain", "net_to_gross", "smallest_detectable_gain_db"):
        assert numbers[name] == 0
    assert (numbers["images_better"], numbers["images_worse"], numbers["sign_test_p"]) == (0, 0, 1)
    assert (numbers["window_gain_db"], numbers["window_percentile"]) == (0, 50)
    parts = found.frame()
    assert (parts["gain_db"] == 0).all()
    assert (parts[["low", "high"]].dropna() == 0).all(axis=None)
    perfect = compare({"a": spoiled(pairs, hr_of)}, {"b": spoiled(pairs, hr_of)}, pairs)
    assert perfect.gain[:3] == (0, 0, 0)


def hr_of(pair):
    return pair.hr


def test_gains_next_to_nothing_are_exact(pairs):
    """One level in one channel of one pixel: where a difference of logarithms has no digits."""

    def nudged(pair):
        sr = bicubic(pair.lr).clamp(0, 1).mul(255).round() / 255
        sr[0, 50, 50] += (1 if sr[0, 50, 50] < 0.5 else -1) / 255
        return sr

    found = compare(
        {"a": spoiled(pairs, lambda pair: bicubic(pair.lr))}, {"b": spoiled(pairs, nudged)}, pairs
    )
    for image in found.images:
        difference = image.mse_a[0] - image.mse_b[0]
        expected = 10 / np.log(10) * np.log1p(difference / image.mse_b[0])
        assert 0 < abs(image.gain_db) < 0.01
        assert image.gain_db == pytest.approx(expected, rel=1e-9)


def test_a_network_spoiled_in_one_tenth_is_found(pairs):
    def change(pair):
        sr = bicubic(pair.lr)
        tenth = split_by_rank(difficulty(pair.hr, sr)[..., 4:-4, 4:-4])[6]
        inside = sr[:, 4:-4, 4:-4].flatten(1)
        inside[:, tenth] += 0.1
        sr[:, 4:-4, 4:-4] = inside.unflatten(1, (sr.shape[-2] - 8, sr.shape[-1] - 8))
        return sr

    found = compare({"good": bicubic}, {"bad": spoiled(pairs, change)}, pairs)
    parts = found.frame().query("by == 'gradient tenth'")["gain_db"].to_numpy()
    assert found.gain.high < 0
    assert parts[6] == pytest.approx(found.gain.estimate, rel=1e-9)
    assert np.abs(np.delete(parts, 6)).max() < 1e-9


def test_networks_blurred_along_one_direction_are_found(pairs):
    """A blur along the rows smears vertical lines, one down the columns horizontal lines."""

    def blurred(axis):
        return spoiled(pairs, lambda p: torch.from_numpy(uniform_filter1d(p.hr.numpy(), 5, axis)))

    found = compare({"along rows": blurred(2)}, {"down columns": blurred(1)}, pairs)
    parts = found.frame().query("by == 'orientation'").set_index("part")
    density = parts["gain_db"] / parts["share"]
    assert density.idxmax() == "vertical"
    assert density.idxmin() == "horizontal"
    others = density.drop(["vertical", "horizontal"]).abs().max()
    assert min(density["vertical"], -density["horizontal"]) > 1.5 * others


def test_a_network_that_loses_one_band_of_frequencies_is_found():
    """A plane wave of 0.28 cycles per pixel is missing from A."""
    rows, columns = torch.meshgrid(torch.arange(104.0), torch.arange(104.0), indexing="ij")
    wave = 0.2 * torch.cos(2 * torch.pi * (20 * rows + 18 * columns) / 96)
    hr = (0.5 + wave).expand(3, -1, -1)
    pair = ImagePair("wave", hr, hr[:, ::4, ::4])
    found = compare(lambda lr: hr * 0 + 0.5, lambda lr: hr + 2 / 255, [pair])
    parts = found.frame().query("by == 'frequency'").set_index("part")["gain_db"]
    assert parts.idxmax() == "0.25 to 0.3125"
    assert parts.max() == pytest.approx(found.gain.estimate, rel=0.01)


def test_orientations_of_a_wheel():
    """Each spoke runs the way it is seen, with rows counted downwards."""
    y, x = np.mgrid[-40:41, -40:41].astype(float)
    spokes = 110 + 100 * np.cos(24 * np.arctan2(-y, x))
    labels = orientation_of(spokes, sigma=1.0)
    for name, (up, right) in {
        "horizontal": (0, 30),
        "rising": (21, 21),
        "vertical": (30, 0),
        "falling": (21, -21),
    }.items():
        assert ORIENTATIONS[labels[40 - up, 40 + right]] == name
    assert ORIENTATIONS[orientation_of(np.full((9, 9), 80.0))[4, 4]] == "flat"
    noise = np.random.default_rng(0).normal(110, 40, (64, 64))
    assert (orientation_of(noise, sigma=4.0) == ORIENTATIONS.index("mixed")).mean() > 0.9


def test_concentration_and_net_to_gross_by_hand():
    """Of 64 pixels nine improve by 1 each and one by 91; seven get worse by 10."""
    hr = torch.full((3, 16, 16), 100 / 255)
    squares_a = np.zeros(64)
    squares_b = np.zeros(64)
    squares_a[:9], squares_a[9] = 1, 100
    squares_b[9], squares_b[10:17] = 9, 10
    # Squares of levels, as sums over three channels of squares of whole numbers.
    legs = {0: (0, 0, 0), 1: (1, 0, 0), 9: (3, 0, 0), 10: (3, 1, 0), 100: (10, 0, 0)}

    def image(squares):
        sr = hr.clone()
        levels = torch.tensor([legs[int(s)] for s in squares]).T.reshape(3, 8, 8)
        sr[:, 4:12, 4:12] += levels / 255
        return sr

    found = compare(
        lambda lr: image(squares_a),
        lambda lr: image(squares_b),
        [ImagePair("i", hr, hr[:, ::4, ::4])],
    )
    # One pixel holds 91 of 100: more than 90%.
    assert found.change.pixels == 1 / 64
    assert found.change.net_to_gross == pytest.approx((100 - 70) / (100 + 70), abs=1e-12)


def test_two_seeds_of_one_network_are_compared_alike(pairs):
    seeds = [noise(i, 0.02) for i in range(4)]
    found = compare(
        dict(zip("ab", seeds[:2], strict=True)), dict(zip("cd", seeds[2:], strict=True)), pairs
    )
    between = found.between_seeds
    alone = [compare(*seeds[i : i + 2], pairs) for i in (0, 2)]
    assert between.gross_db == pytest.approx(np.mean([c.change.gross_db for c in alone]))
    assert between.net_db == pytest.approx(np.mean([abs(c.gain.estimate) for c in alone]))
    assert between.pixels == pytest.approx(np.mean([c.change.pixels for c in alone]))
    assert alone[0].between_seeds is None
    # Independent noise moves pixels about and gains nothing.
    assert between.net_to_gross < 0.05


def test_the_strongest_image(pairs, found):
    strongest = int(np.abs(found.gains).argmax())
    assert found.map.image == found.strongest_image.image == pairs[strongest].name
    assert found.gain_without_strongest_image == pytest.approx(
        np.delete(found.gains, strongest).mean()
    )
    one = compare(nearest, bicubic, pairs[:1])
    assert one.summary()["gain_without_strongest_image"] is None
    assert one.summary()["gain_low"] is None
    asked = compare(nearest, bicubic, pairs, image="crop1")
    assert (asked.map.image, asked.map.asked_for) == ("crop1", True)
    assert asked.frame().equals(found.frame())


def test_comparisons_of_parts_of_a_data_set_add_up(pairs, found):
    for image in (None, "crop0", "crop2"):
        parts = [
            compare(
                nearest, bicubic, part, image=image if image in [p.name for p in part] else None
            )
            for part in (pairs[:1], pairs[1:])
        ]
        merged = parts[0] + parts[1]
        assert merged.frame().equals(found.frame())
        assert merged.map.image == (image or found.map.image)
    with pytest.raises(InputError, match="do not add up"):
        found + compare({"other": nearest}, bicubic, pairs)


def test_a_window_is_ranked_among_all_of_its_size(pairs):
    """Against a plain loop; the planted window is the largest of all."""
    row, column, size = 28, 42, 24

    def change(pair):
        sr = nearest(pair.lr)
        part = (slice(None), slice(row, row + size), slice(column, column + size))
        sr[part] = pair.hr[part] * 0.98
        return sr

    planted = {"b": spoiled(pairs, change)}
    found = compare(nearest, planted, pairs, image="crop1", window=(row, column, size))
    rank = found.rank_window()
    assert (rank.image, rank.window) == ("crop1", (row, column, size))
    assert rank.psnr_percentile > 99
    elsewhere = compare(nearest, bicubic, pairs, image="crop1", window=(4, 8, size)).rank_window()
    crop_score = replace(PAPER, border=0)
    gains = []
    for pair in pairs:
        a, b = nearest(pair.lr), bicubic(pair.lr)
        for r in range(0, pair.hr.shape[-2] - size + 1, WINDOW_STRIDE):
            for c in range(0, pair.hr.shape[-1] - size + 1, WINDOW_STRIDE):
                part = (..., slice(r, r + size), slice(c, c + size))
                scores = [crop_score.score(x[part], pair.hr[part], 4).psnr_db for x in (a, b)]
                gains.append(scores[1] - scores[0])
                if pair.name == "crop1" and (r, c) == (4, 8):
                    mine = gains[-1]
    assert elsewhere.windows == len(gains)
    assert elsewhere.gain.psnr_db == pytest.approx(mine, abs=1e-9)
    assert elsewhere.psnr_percentile == pytest.approx(
        percentileofscore(gains, mine, "mean"), abs=0.2
    )


def test_memory_of_windows_does_not_grow_with_the_images(pairs):
    found = [compare(nearest, bicubic, pairs[:n], window=(4, 8, 24)) for n in (1, 3)]
    sizes = [len(pickle.dumps(each.windows)) for each in found]
    assert sizes[0] == sizes[1] < 700_000
    assert found[0].windows.windows < found[1].windows.windows
    added = found[0] + compare(nearest, bicubic, pairs[1:], window=(4, 8, 24))
    assert (added.windows.counts == found[1].windows.counts).all()
    assert compare(nearest, bicubic, pairs[:1]).windows is None


def test_windows_outside_and_other_mistakes(pairs):
    for window in ((90, 0, 24), (-1, 0, 8), (0, 0, 0), (0, 0, 500)):
        found = compare(nearest, bicubic, pairs[:1], window=window)
        with pytest.raises(InputError, match=r"window .* \(row, column, size .* crop0"):
            found.rank_window()
    with pytest.raises(InputError, match="no image 'lena', expected one of crop0, crop1, crop2"):
        compare(nearest, bicubic, pairs, image="lena")
    with pytest.raises(InputError, match="no images, expected at least one"):
        compare(nearest, bicubic, [])
    with pytest.raises(InputError, match="crop0: a checkpoint restores it without any error"):
        compare({"perfect": spoiled(pairs, hr_of)}, bicubic, pairs)
    with pytest.raises(
        InputError, match=r"crop0: b restored \(3, 24, 33\), expected \(3, 96, 132\)"
    ):
        compare(bicubic, lambda lr: lr, pairs)
    with pytest.raises(InputError, match="crop0: b restored values that are not finite"):
        compare(bicubic, lambda lr: bicubic(lr) * torch.nan, pairs)
    tiny = ImagePair("tiny", torch.rand(3, 8, 8), torch.rand(3, 2, 2))
    with pytest.raises(
        InputError, match="tiny: HR image of 8 x 8 pixels, expected more than the 4"
    ):
        compare(bicubic, nearest, [tiny])


def test_names_of_what_is_given(pairs):
    models = [SimpleNamespace(name=f"seed{i}", restore=f) for i, f in enumerate((nearest, bicubic))]
    found = compare(models, bicubic, pairs[:1])
    assert (found.a, found.b) == (("seed0", "seed1"), ("b",))
    assert compare(models[0], {"x": bicubic}, pairs[:1]).a == ("seed0",)


def everything(pairs):
    """All that a comparison and a spectrum say, as one text."""
    found = compare(nearest, bicubic, pairs, window=(8, 8, 24))
    spectrum = error_spectrum({"bicubic": bicubic}, pairs, rings=4)
    tables = (found.frame(), found.per_image(), spectrum.frame(), tail_frequency(pairs).frame())
    texts = [table.to_csv() for table in tables]
    return "\n".join([*texts, str(found.summary()), found.map.image, str(found.map.gain_db.sum())])


def _one_of_two(rank, folder, pairs):
    init = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    (folder / f"{rank}.txt").write_text(everything(pairs))
    torch.distributed.destroy_process_group()


def test_two_processes_find_what_one_does(pairs, tmp_path):
    mp.start_processes(_one_of_two, (tmp_path, pairs), nprocs=2, start_method="fork")
    alone = everything(pairs)
    assert (tmp_path / "0.txt").read_text() == (tmp_path / "1.txt").read_text() == alone
    assert "gradient tenth" in alone


def test_counts_of_gains_rank_windows_as_all_gains_do():
    generator = np.random.default_rng(0)
    gains = generator.normal(size=(5000, 2)) * [1.0, 300.0]
    gains[:500] = 0  # ties, as of windows that two networks restore alike
    gains[500] = np.inf, 65025  # a window that the second network alone restores perfectly
    counts, other = WindowCounts(), WindowCounts()
    for part in np.split(gains[:4000], 4):
        counts.add(part)
    other.add(gains[4000:])
    counts += other
    assert counts.windows == 5000
    for gain in (*gains[::250], np.zeros(2), gains[500]):
        exact = [percentileofscore(gains[:, n], gain[n], "mean") for n in (0, 1)]
        assert counts.percentiles(WindowGain(*gain)) == pytest.approx(exact, abs=0.05)
    zero = counts.percentiles(WindowGain(0.0, 0.0))
    assert zero == pytest.approx([percentileofscore(gains[:, n], 0.0, "mean") for n in (0, 1)])
