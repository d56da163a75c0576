"""The package against numbers of an independent implementation, which any clone can prove.

`tests/golden/make.py` made them: numpy, scipy and scikit-image, without srlongtail.
"""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data
from torch import nn

from srlongtail.attribution.lam import local_attribution
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import photos
from srlongtail.image.resample import imresize
from srlongtail.metrics import PROTOCOLS
from srlongtail.models.sr_model import SRModel, bicubic

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_matlab_bicubic_of_the_photos(scale):
    rows = pd.read_csv(GOLDEN / "matlab_bicubic.csv").query(f"scale == {scale}")
    for name, places in rows.groupby("image"):
        image = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1).double()
        height, width = (side - side % 12 for side in image.shape[-2:])
        small = imresize(image[:, :height, :width], 1 / scale)
        found = small[tuple(places[["channel", "row", "column"]].to_numpy().T)]
        assert np.allclose(found, places["level"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("protocol", ["paper", "y"])
def test_psnr_and_ssim_of_bicubic_on_the_photos(scale, protocol):
    golden = pd.read_csv(GOLDEN / "scores.csv")
    golden = golden.query(f"scale == {scale} and protocol == '{protocol}'").set_index("image")
    found = evaluate([bicubic(scale)], [photos(scale)], PROTOCOLS[protocol]).set_index("image")
    # The network's bicubic is computed in float32: a level in a thousand pixels may round apart.
    assert (found["psnr_db"] - golden["psnr_db"]).abs().max() < 1e-4
    assert (found["ssim"] - golden["ssim"]).abs().max() < 1e-5


def formula_network() -> nn.Module:
    """The network of make.py, from the weights alone."""
    first, second = runpy.run_path(str(GOLDEN / "make.py"))["network_weights"]()
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.PReLU(init=0.25),
        nn.Conv2d(6, 48, 3, padding=1, bias=False),
        nn.PixelShuffle(4),
    )
    network[0].weight.data = torch.from_numpy(first)
    network[2].weight.data = torch.from_numpy(second)
    return network.double()


@pytest.mark.parametrize("published", [True, False])
def test_local_attribution_maps_of_the_photos(published):
    model = SRModel(formula_network(), 4, predicts="residual")
    for row in pd.read_csv(GOLDEN / "attribution.csv").itertuples():
        hr = getattr(data, row.image)()[row.top : row.top + 144, row.left : row.left + 144]
        small = Image.fromarray(hr).resize((36, 36), Image.Resampling.BICUBIC)
        lr = torch.from_numpy(np.array(small)).permute(2, 0, 1).double() / 255
        found = local_attribution(model, lr, (row.row, row.column, 16), published=published)
        assert found.nan_steps == 0
        assert found.attribution_sum == pytest.approx(row.attribution_sum, rel=1e-6)
        assert found.target_start == pytest.approx(row.target_start, rel=1e-6)
        assert found.target_end == pytest.approx(row.target_end, rel=1e-6)
        for i in range(3):
            value = found.signed[getattr(row, f"lr_row_{i}"), getattr(row, f"lr_column_{i}")]
            assert float(value) == pytest.approx(getattr(row, f"attribution_{i}"), rel=1e-5)
        # Only the published way adds 1e-7 to every pixel before the Gini coefficient.
        assert found.diffusion_index == pytest.approx(
            row.diffusion_index, rel=1e-6 if published else 0.002
        )
