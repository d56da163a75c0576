"""Error and gain by tenth, beside a calculation with numpy."""

import numpy as np
import pytest
from skimage.filters import sobel

from srlongtail.image.dataset import photos
from srlongtail.image.resample import imresize, upsample_bicubic
from srlongtail.models.sr_model import bicubic, matlab_bicubic
from srlongtail.studies import tenths


def luma_by_hand(image):
    levels = np.round(image.double().clamp(0, 1).numpy() * 255)
    return np.tensordot(np.array([65.481, 128.553, 24.966]) / 255, levels, 1) + 16


def test_gains_by_hand():
    data = photos(4)[1:3]
    result = tenths.compute([bicubic(4), matlab_bicubic(4)], data)
    gains, shares = [], []
    for pair in data:
        hr = luma_by_hand(pair.hr)
        order = np.argsort(sobel(hr, mode="nearest").ravel(), kind="stable")
        low, other = (
            np.abs(luma_by_hand(sr) - hr).ravel()[order]
            for sr in (upsample_bicubic(pair.lr, 4), imresize(pair.lr, 4))
        )
        last = slice(-(len(order) // 10), None)
        gains.append(low[last].mean() - other[last].mean())
        shares.append(100 * (other[last] ** 2).sum() / (other**2).sum())
    hardest = result.gains.set_index("tenth").loc[10]
    assert hardest["estimate"] == pytest.approx(np.mean(gains), abs=0.02)
    share = result.shares[result.shares["model"] == "bicubic-matlab"].set_index("tenth")
    assert share.loc[10, "estimate"] == pytest.approx(np.mean(shares), abs=0.2)
    assert f"{np.mean(shares):.0f}% of the squared error" in result.message()


def test_the_figure_draws_every_tenth():
    result = tenths.compute([bicubic(4), matlab_bicubic(4)], photos(4)[1:2])
    errors, gains = tenths.draw(result).axes
    assert [len(line.get_xdata()) for line in errors.lines if line.get_marker() == "."] == [10, 10]
    drawn = next(line for line in gains.lines if line.get_marker() == ".")
    assert drawn.get_ydata().tolist() == result.gains["estimate"].tolist()
