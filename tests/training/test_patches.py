"""Patches cut from the bank against slices of the images they come from."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, make_pair
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import read_image, write_image
from srlongtail.image.resample import imresize
from srlongtail.training.patches import PatchBank, SharedBank
from srlongtail.training.recipe import Recipe

SCALE, PATCH = 2, 3


def numbered(height: int, width: int, first: int) -> ImagePair:
    """A pair whose LR pixels all differ, and whose HR pixels tell their LR pixel and corner."""
    lr = torch.arange(first, first + height * width).reshape(height, width)
    lr = torch.stack((lr % 256, lr // 256, torch.zeros_like(lr))) / 255
    hr = lr.repeat_interleave(SCALE, -1).repeat_interleave(SCALE, -2)
    hr[2, 0::2, 1::2], hr[2, 1::2, 0::2], hr[2, 1::2, 1::2] = 1 / 255, 2 / 255, 3 / 255
    return ImagePair("numbered", hr, lr)


PAIRS = [numbered(5, 4, 0), numbered(3, 7, 100), numbered(6, 6, 300)]
PLACES = [
    (pair, row, column)
    for pair in PAIRS
    for row in range(pair.lr.shape[-2] - PATCH + 1)
    for column in range(pair.lr.shape[-1] - PATCH + 1)
]
TURNS = [
    lambda x, k=k, flip=flip: torch.rot90(x.flip(-1) if flip else x, k, (-2, -1))
    for k in range(4)
    for flip in (False, True)
]


def slices(pair: ImagePair, row: int, column: int) -> tuple[torch.Tensor, torch.Tensor]:
    big, end = (
        slice(row * SCALE, (row + PATCH) * SCALE),
        slice(column * SCALE, (column + PATCH) * SCALE),
    )
    return pair.lr[:, row : row + PATCH, column : column + PATCH], pair.hr[:, big, end]


def test_every_position_and_turn_is_a_slice_turned():
    bank = PatchBank(PAIRS, PATCH)
    assert bank.positions == len(PLACES)
    for position, place in enumerate(PLACES):
        lr, hr = bank.cut(torch.tensor([[position, turn] for turn in range(8)]))
        expected = [tuple(turn(image) for image in slices(*place)) for turn in TURNS]
        for one in zip(lr, hr, strict=True):
            matches = [all(map(torch.equal, one, other)) for other in expected]
            assert sum(matches) == 1
            expected.pop(matches.index(True))  # so that each turn has to occur once


def test_draws_are_uniform_over_positions_and_turns():
    bank = PatchBank(PAIRS, PATCH)
    draws = 40_000
    places = bank.draw(draws, torch.Generator().manual_seed(0))
    counts = Counter(map(tuple, places.tolist()))
    expected = draws / (bank.positions * 8)
    chi_squared = sum(
        (counts[p, t] - expected) ** 2 for p in range(bank.positions) for t in range(8)
    )
    degrees = bank.positions * 8 - 1
    assert set(counts) <= {(p, t) for p in range(bank.positions) for t in range(8)}
    assert abs(chi_squared / expected - degrees) < 4 * (2 * degrees) ** 0.5


def test_the_same_generator_gives_the_same_patches():
    bank = PatchBank(PAIRS, PATCH)
    one, two = (bank.draw(9, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)


def test_patches_lie_channels_last_in_memory():
    bank = PatchBank(PAIRS, PATCH)
    for images in bank.cut(torch.tensor([[0, 0], [1, 5]])):
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_images_smaller_than_a_patch_are_left_out():
    with pytest.warns(UserWarning, match="1 images smaller than a patch left out"):
        bank = PatchBank([*PAIRS, numbered(2, 9, 0)], PATCH)
    assert bank.images == 3
    with pytest.raises(InputError, match="none of 1 training images has 9 LR pixels a side"):
        PatchBank(PAIRS[:1], 9)


@pytest.fixture
def folder(tmp_path):
    """Two images as files."""
    torch.manual_seed(0)
    for name, size in (("one", (60, 72)), ("two", (48, 61))):
        write_image(tmp_path / "set" / f"{name}.png", torch.rand(3, *size))
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("degradation", "rule"), [("bicubic", Bicubic(4)), ("blur-noise", BlurNoise(4))]
)
def test_lr_images_are_made_by_the_recipe_s_degradation(degradation, rule, folder):
    bank = PatchBank.of(Recipe(data=(str(folder),), patch=12, degradation=degradation))
    # The second image has 12 x 15 LR pixels: its first position shows its left edge.
    pair = make_pair(read_image(folder / "two.png"), rule, "set/two.png@1")
    lr, hr = bank.cut(torch.tensor([[bank.positions - 4, 0]]))
    assert torch.equal(lr[0], pair.lr[:, :, :12])
    assert torch.equal(hr[0], pair.hr[:, :, :48])
    assert bank.source["folders"] == {"set": 2}


def test_the_pyramid_adds_smaller_images(folder):
    recipe = Recipe(data=(str(folder),), patch=5, pyramid=(1.0, 0.5))
    # 60 x 72 and 48 x 60 at full size; 24 x 36 and 24 x 24 at half, after the crop to 12s.
    sizes = [(15, 18), (6, 9), (12, 15), (6, 6)]
    bank = PatchBank.of(recipe)
    assert bank.positions == sum((h - 4) * (w - 4) for h, w in sizes)
    half = imresize(read_image(folder / "two.png"), 0.5)[:, :24, :24]
    _, hr = bank.cut(torch.tensor([[bank.positions - 4, 0]]))
    assert (hr[0] - half[:, :20, :20]).abs().max() <= 0.5001 / 255


def test_a_recipe_that_wants_other_patches():
    bank = PatchBank(PAIRS, PATCH)
    bank.check(Recipe(scale=SCALE, patch=PATCH))
    with pytest.raises(InputError, match=r"scale and size \(2, 3\), expected \(4, 3\)"):
        bank.check(Recipe(patch=PATCH))


def test_runs_that_need_the_same_patches_share_a_bank(folder):
    shared, recipe = SharedBank(), Recipe(data=(str(folder),), patch=8)
    first = shared.of(recipe, "cpu")
    assert shared.of(replace(recipe, seed=1, skip=True), "cpu") is first
    assert shared.of(replace(recipe, patch=9), "cpu") is not first
