"""Local attribution maps against the published code's numbers and a closed form."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from srlongtail.attribution.lam import LocalAttribution, local_attribution
from srlongtail.attribution.path import LinearPath
from srlongtail.attribution.target import GradientDetector, Intensity
from srlongtail.models.catalog import CATALOG, new_model
from srlongtail.models.checkpoint import load_model

FINITE = ("fsrcnn", "carn", "srresnet", "msrn", "edsr", "carn-official", "pan", "srvgg", "vapsr")
SMALL = {
    "carn": {"features": 8, "groups": 2},
    "srresnet": {"features": 4, "blocks": 1},
    "msrn": {"features": 2, "blocks": 1},
    "bsrn": {"features": 16, "blocks": 1},
    "swinir": {"features": 4, "depths": (2,), "heads": (1,), "window": 4},
    "edsr": {"features": 4, "blocks": 1},
    "carn-official": {"features": 8, "groups": 2},
    "imdn": {"features": 16, "blocks": 1},
    "rfdn": {"features": 8, "blocks": 1},
    "pan": {"features": 8, "enlarged": 4, "blocks": 1},
    "srvgg": {"features": 4, "convolutions": 1},
    "rlfn": {"features": 8, "blocks": 1, "narrow": 4},
    "bsrn-s": {"features": 8, "blocks": 1},
    "vapsr": {"features": 8, "attention": 8, "blocks": 1},
}


def pillow_lr(path) -> torch.Tensor:
    hr = Image.open(path).convert("RGB")
    width, height = (side - side % 4 for side in hr.size)
    lr = hr.crop((0, 0, width, height)).resize((width // 4, height // 4), Image.BICUBIC)
    return torch.from_numpy(np.asarray(lr) / np.float32(255)).permute(2, 0, 1)


def test_the_published_code_is_reproduced(shared):
    model = load_model(shared / "checkpoints" / "4x_FSRCNN_FPL.pth")
    for row in pd.read_csv(shared / "golden" / "lam.csv").itertuples():
        lr = pillow_lr(shared / "data/test/Set5/HR" / f"{row.image}.png")
        window = (row.row, row.col, row.window)
        found = local_attribution(model, lr, window, published=True)
        assert found.canvas == (row.lr_height, row.lr_width)
        assert found.diffusion_index == pytest.approx(row.diffusion_index, rel=0.005)
        assert found.attribution_sum == pytest.approx(row.attribution_sum, rel=0.005)
        assert found.target_end == pytest.approx(row.target_value, rel=0.005)
        assert found.nan_steps == row.nan_steps
        ours = local_attribution(model, lr, window)
        assert ours.nan_steps == 0
        assert ours.attributions.isfinite().all()
        assert ours.diffusion_index == pytest.approx(row.diffusion_index, rel=0.02)


def test_a_linear_network_is_attributed_exactly_and_completely():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)).double()
    lr, window = torch.rand(3, 20, 24, dtype=torch.float64), (10, 16, 8)
    found = local_attribution(model, lr, window, target=Intensity, path=LinearPath(), n_steps=3)
    # Along a line from black, a linear map gives every pixel its gradient times its value.
    pixels = lr[None].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Intensity(window)(model(pixels)).sum(), pixels)
    assert torch.allclose(found.attributions, gradient[0] * lr, atol=1e-12)
    assert found.completeness_error < 1e-5


@pytest.mark.parametrize("name", [name for name in CATALOG if CATALOG[name].channels == "rgb"])
def test_a_crop_gives_the_whole_images_map_or_is_not_used(name):
    torch.manual_seed(0)
    model = new_model(name, 2, **SMALL.get(name, {}))
    lr, window = torch.rand(3, 75, 70), (60, 64, 8)
    found = local_attribution(model, lr, window, n_steps=4)
    whole = LocalAttribution(model).attribute(lr[None], GradientDetector(window), n_steps=4)[0]
    assert (found.attributions - whole).abs().max() <= 1e-5 * whole.abs().max()
    assert found.canvas == (75, 70)
    assert (found.settings["computed_on"] != [75, 70]) == (name in FINITE)
