"""Windows and boxes, against slices and counted pixels."""

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.geometry import Box, check_window, crop


def test_boxes():
    box = Box(2, 3, 6, 9)
    assert (box.height, box.width, box.pixels) == (4, 6, 24)
    assert box.grown(3, 8, 20) == Box(0, 0, 8, 12)
    assert box.seen_from(Box(1, 1, 9, 9)) == Box(1, 2, 5, 8)
    assert torch.equal(box.cut(torch.eye(10)), torch.eye(10)[2:6, 3:9])
    assert box.lies_in(6, 9)
    inside = [box.lies_in(5, 9), box.lies_in(6, 8), Box(-1, 0, 1, 1).lies_in(9, 9)]
    assert not any([*inside, Box(0, -1, 1, 1).lies_in(9, 9), Box(2, 2, 2, 3).lies_in(9, 9)])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("window", [(0, 0, 1), (3, 4, 9), (7, 12, 16), (11, 5, 4)])
def test_from_sr_to_lr_and_back(window, scale):
    sr = torch.zeros(36, 36)
    crop(sr, window).fill_(1)
    touched = torch.nn.functional.max_pool2d(sr[None], scale)[0]
    lr = torch.zeros(36 // scale, 36 // scale)
    box = Box.of(window).to_lr(scale)
    box.cut(lr).fill_(1)
    assert torch.equal(lr, touched)
    enlarged = torch.zeros(36, 36)
    box.to_sr(scale).cut(enlarged).fill_(1)
    assert torch.equal(enlarged, lr.repeat_interleave(scale, 0).repeat_interleave(scale, 1))


def test_crops_are_row_column_size_and_views():
    image = torch.zeros(3, 8, 20)
    crop(image, (2, 11, 4)).fill_(1)
    assert image[:, 2:6, 11:15].eq(1).all()
    assert image.sum() == 3 * 4 * 4


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ((-1, 0, 4), r"window -1 0 4 .* inside the 12 x 20 pixels .* row from 0 to 8"),
        ((0, 17, 4), r"column from 0 to 16"),
        ((0, 0, 13), r"expected a size from 1 to 12"),
        ((0, 0, 0), r"expected a size from 1 to 12"),
        ((0, 0), r"window \(0, 0\), expected three integers"),
        ((0.5, 0, 4), r"expected three integers: row, column and size"),
    ],
)
def test_windows_outside_are_refused(window, message):
    with pytest.raises(InputError, match=message):
        check_window(window, 12, 20)


def test_the_error_names_the_image():
    with pytest.raises(InputError, match=r"the 12 x 20 pixels of baby: row from 0 to 8"):
        check_window((9, 0, 4), 12, 20, "baby")
