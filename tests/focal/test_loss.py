"""Eq. 6 and 7 against ten lines of float64 numpy, and what flows back."""

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from srlongtail.errors import InputError
from srlongtail.focal.loss import FocalPixelLoss
from srlongtail.focal.pixel_loss import PixelLoss
from srlongtail.focal.weights import FocalParameters, focal_weight, structure_prior


def plain(residual, hr, low, static=True, learnable=True, focal=None, p=1):
    """Eq. 3 to 7, written down as the paper prints them, for a network with the skip."""
    a = focal or FocalParameters()

    def weight(z, alpha, gamma):
        return alpha * np.exp(gamma * (z - z.min()) / (z.max() - z.min()))

    target = hr - low
    loss = np.abs(residual - target) ** p
    if static:
        loss = loss * weight(np.abs(hr - low), a.alpha_sp, a.gamma_sp)
    if learnable:
        loss = loss * weight(np.abs(target - residual), a.alpha_lp, a.gamma_lp)
    return loss.mean()


def batch(seed: int) -> torch.Tensor:
    return torch.rand(3, 2, 3, 9, 8, dtype=torch.float64, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("parts", list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_every_combination_of_parts(parts, p, seed):
    switches = dict(zip(("static", "learnable"), parts, strict=True))
    focal = FocalParameters(alpha_sp=0.3, gamma_sp=2.0, alpha_lp=1.4, gamma_lp=0.7)
    residual, hr, low = batch(seed)
    loss = FocalPixelLoss(**switches, focal=focal, p=p)(residual + low, hr, low)
    expected = plain(residual.numpy(), hr.numpy(), low.numpy(), **switches, focal=focal, p=p)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_in_float32_the_skip_costs_no_digits_that_matter():
    """SR is the sum of bicubic and a residual that may be small; the paper has the residual."""
    noise, hr, low = batch(4)
    residual = 0.01 * noise
    hr = low + residual + 0.01 * (hr - 0.5)  # errors of one level, as late in a training
    exact = plain(residual.numpy(), hr.numpy(), low.numpy())
    sr = residual.float() + low.float()
    assert FocalPixelLoss()(sr, hr.float(), low.float()).item() == pytest.approx(exact, rel=1e-5)


def test_without_growth_it_is_l1():
    sr, hr, low = batch(0).float()
    focal = FocalParameters(alpha_sp=1, gamma_sp=0, alpha_lp=1, gamma_lp=0)
    assert torch.equal(FocalPixelLoss(focal=focal)(sr, hr, low), (sr - hr).abs().mean())


def test_the_gradient_is_the_weight_times_the_sign():
    sr, hr, low = batch(1)
    sr.requires_grad_()
    FocalPixelLoss()(sr, hr, low).backward()
    weights = focal_weight(structure_prior(hr, low), 0.5, 1.0) * focal_weight(
        structure_prior(hr, sr), 1.0, 1.0
    )
    expected = weights * torch.sign(sr.detach() - hr) / sr.numel()
    assert torch.allclose(sr.grad, expected, atol=1e-15)


def test_gradcheck_with_fixed_weights():
    # The static weights do not depend on the output, so all of the gradient is checked.
    sr, hr, low = batch(2)[:, :1, :, :3, :3]
    sr = sr.clone().requires_grad_()
    loss = FocalPixelLoss(learnable=False)
    assert gradcheck(lambda images: loss(images, hr, low), sr)


@pytest.mark.parametrize("scope", ["batch", "image"])
def test_constant_images_give_no_nan(scope):
    grey = torch.full((2, 3, 4, 4), 0.5)
    sr = grey.clone().requires_grad_()
    loss = FocalPixelLoss(focal=FocalParameters(scope=scope))(sr, grey, grey)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(sr.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_loss_is_in_float32(dtype):
    sr, hr, low = batch(3).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = FocalPixelLoss()(sr.to(dtype), hr, low)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, FocalPixelLoss()(sr.to(dtype).float(), hr, low))


@pytest.mark.parametrize("p", [1, 2])
def test_derivatives_by_hr_and_second_ones(p):
    sr, hr, low = batch(5)[:, :1, :, :3, :3].clone()
    loss = PixelLoss(lambda *_: low, p)

    def squared(sr, hr):  # so that the second derivative is not 0
        return loss(sr, hr, low).square()

    assert gradcheck(squared, (sr.requires_grad_(), hr.requires_grad_()))
    assert gradgradcheck(squared, (sr, hr))


def test_mistakes():
    sr, hr, low = batch(0)
    with pytest.raises(InputError, match="p 3, expected 1 or 2"):
        FocalPixelLoss(p=3)
    with pytest.raises(InputError, match=r"skip False, expected none: .* the model's predicts"):
        FocalPixelLoss(skip=False)
    with pytest.raises(InputError, match=r"\(2, 3, 9, 8\), \(1, 3, 9, 8\), \(2, 3, 9, 8\)"):
        PixelLoss()(sr, hr[:1], low)
