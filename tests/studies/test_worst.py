"""Windows picked by rule are those that a search by hand finds."""

import numpy as np
import pytest
import torch

from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import quantize
from srlongtail.image.resample import imresize
from srlongtail.longtail.comparison import WINDOW_STRIDE
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.studies.restored import RestoredImage
from srlongtail.studies.worst import SIZE, WorstWindows
from tests.conftest import soft_noise


class Spoiled(torch.nn.Module):
    """Bicubic's residual, with a square that is wrong."""

    def forward(self, lr):
        made = lr.new_zeros(*lr.shape[:-2], lr.shape[-2] * 4, lr.shape[-1] * 4)
        made[..., 40:60, 100:120] = 0.3
        return made


@pytest.fixture(scope="module")
def images():
    pairs = []
    for seed in range(3):
        hr = quantize(soft_noise(160, 192, seed))
        pairs.append(ImagePair(str(seed), hr, quantize(imresize(hr, 1 / 4)), "noise"))
    return [RestoredImage(pair) for pair in pairs]


def test_windows_by_hand(images):
    model = SRModel(Spoiled(), 4, predicts="residual", name="spoiled")
    search = WorstWindows([bicubic(4), model])
    for image in images:
        search.add(image)
    found = {window.rule: window for window in search.result()}
    assert "largest gain over bicubic" not in found or found["largest gain over bicubic"].gain > 0

    error, gain = {}, {}
    for image in images:
        hr = image.pair.hr.double().numpy()
        own, low = (
            (np.round(image.sr(m).double().numpy() * 255) - np.round(hr * 255)) ** 2
            for m in (model, bicubic(4))
        )
        for row in range(0, 160 - SIZE + 1, WINDOW_STRIDE):
            for column in range(0, 192 - SIZE + 1, WINDOW_STRIDE):
                cut = (slice(None), slice(row, row + SIZE), slice(column, column + SIZE))
                key = image.pair.name, (row, column, SIZE)
                error[key] = own[cut].mean()
                gain[key] = low[cut].mean() - own[cut].mean()
    worst = found["largest error"]
    assert error[worst.image, worst.window] == pytest.approx(max(error.values()))
    assert worst.mse == pytest.approx(max(error.values()))
    assert worst.windows == len(error)
    assert worst.error_percentile == pytest.approx(100 * (1 - 0.5 / len(error)), abs=0.2)
    others = np.array(list(gain.values())) - worst.gain
    rank = (others < -1e-4).mean() + (np.abs(others) <= 1e-4).mean() / 2
    assert worst.gain_percentile == pytest.approx(100 * rank, abs=0.1)
    loss = found["largest loss against bicubic"]
    assert loss.gain == pytest.approx(min(gain.values()), abs=1e-5)
    assert gain[loss.image, loss.window] == pytest.approx(min(gain.values()), abs=1e-5)
    row, column, size = loss.window
    assert row <= 40 <= 60 <= row + size
    assert column <= 100 <= 120 <= column + size
    mse = (loss.crops["spoiled"] - loss.crops["HR"]).double().mul(255).square().mean()
    assert float(mse) == pytest.approx(loss.mse, abs=1e-4)
    psnr = 10 * np.log10(255**2 / loss.mse)
    assert loss.scores["spoiled"].psnr_db == pytest.approx(psnr, abs=1e-4)


def test_searches_add_up(images):
    models = [bicubic(4), SRModel(Spoiled(), 4, predicts="residual", name="spoiled")]
    whole, parts = WorstWindows(models), [WorstWindows(models), WorstWindows(models)]
    for index, image in enumerate(images):
        whole.add(image)
        parts[index % 2].add(image)
    together = parts[0] + parts[1]
    for one, two in zip(whole.result(), together.result(), strict=True):
        assert one.frame().equals(two.frame())
        assert one.error_percentile == pytest.approx(two.error_percentile)
        assert one.gain_percentile == pytest.approx(two.gain_percentile)


def test_a_network_that_is_bicubic_neither_gains_nor_loses(images):
    model = SRModel(bicubic(4).network, 4, predicts="residual", name="twin")
    search = WorstWindows([bicubic(4), model])
    search.add(images[0])
    assert [window.rule for window in search.result()] == ["largest error"]
