"""Tiles: what is cut is laid together again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srlongtail.errors import InputError
from srlongtail.image.tiles import Tiling, apply_in_tiles


def test_the_papers_tiles_cover_the_edges():
    assert Tiling().starts(32) == [0]
    assert Tiling().starts(33) == [0, 1]
    assert Tiling().starts(88) == [0, 28, 56]
    assert Tiling().starts(10) == [0]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 50),
    width=st.integers(1, 50),
    size=st.integers(1, 20),
    data=st.data(),
)
def test_the_same_tiles_give_the_image(height, width, size, data):
    tiling = Tiling(size, data.draw(st.integers(1, size)))
    image = torch.rand(2, height, width, dtype=torch.float64)
    restored = apply_in_tiles(lambda tiles: tiles, image, 1, tiling, data.draw(st.integers(1, 9)))
    assert torch.allclose(restored, image, atol=1e-12)


def test_overlaps_are_averaged():
    # Two tiles of 4 with step 2 on a row of 6: the two middle pixels lie in both.
    def numbered(tiles: torch.Tensor) -> torch.Tensor:
        return torch.arange(float(len(tiles)))[:, None, None, None].expand_as(tiles)

    averaged = apply_in_tiles(numbered, torch.zeros(1, 1, 6), 1, Tiling(4, 2))
    assert averaged.flatten().tolist() == [0, 0, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_a_pointwise_enlargement_is_the_same_in_tiles(batch):
    def enlarge(tiles: torch.Tensor) -> torch.Tensor:
        return tiles.square().repeat_interleave(2, -1).repeat_interleave(2, -2)

    lr = torch.rand(3, 45, 70)
    assert torch.allclose(apply_in_tiles(enlarge, lr, 2, Tiling(), batch), enlarge(lr), atol=1e-6)


def test_steps_that_would_leave_gaps_are_refused():
    with pytest.raises(InputError, match="tiles of size 8 with step 9, expected 1 <= step <= size"):
        Tiling(8, 9)
