"""Eq. 6 and 7 against ten lines of float64 numpy, and what flows back."""

import itertools

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from srlongtail.errors import InputError
from srlongtail.focal.loss import FocalPixelLoss
from srlongtail.focal.weights import FocalParameters, focal_weight, structure_prior


def plain(output, hr, low, skip=True, static=True, learnable=True, focal=None, p=1):
    """Eq. 3 to 7, written down as the paper prints them."""
    a = focal or FocalParameters()

    def weight(z, alpha, gamma):
        return alpha * np.exp(gamma * (z - z.min()) / (z.max() - z.min()))

    target = hr - low if skip else hr
    loss = np.abs(output - target) ** p
    if static:
        loss = loss * weight(np.abs(hr - low), a.alpha_sp, a.gamma_sp)
    if learnable:
        loss = loss * weight(np.abs(target - output), a.alpha_lp, a.gamma_lp)
    return loss.mean()


def batch(seed: int) -> torch.Tensor:
    return torch.rand(3, 2, 3, 9, 8, dtype=torch.float64, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("parts", list(itertools.product([True, False], repeat=3)))
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_every_combination_of_parts(parts, p, seed):
    switches = dict(zip(("skip", "static", "learnable"), parts, strict=True))
    focal = FocalParameters(alpha_sp=0.3, gamma_sp=2.0, alpha_lp=1.4, gamma_lp=0.7)
    output, hr, low = batch(seed)
    loss = FocalPixelLoss(**switches, focal=focal, p=p)(output, hr, low)
    expected = plain(output.numpy(), hr.numpy(), low.numpy(), **switches, focal=focal, p=p)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_without_growth_it_is_l1_on_the_residual():
    output, hr, low = batch(0).float()
    focal = FocalParameters(alpha_sp=1, gamma_sp=0, alpha_lp=1, gamma_lp=0)
    loss = FocalPixelLoss(focal=focal)(output, hr, low)
    assert torch.equal(loss, (output - (hr - low)).abs().mean())


def test_the_gradient_is_the_weight_times_the_sign():
    output, hr, low = batch(1)
    output.requires_grad_()
    FocalPixelLoss()(output, hr, low).backward()
    target = hr - low
    weights = focal_weight(structure_prior(hr, low), 0.5, 1.0) * focal_weight(
        structure_prior(target, output), 1.0, 1.0
    )
    expected = weights * torch.sign(output.detach() - target) / output.numel()
    assert torch.allclose(output.grad, expected, atol=1e-15)


def test_gradcheck_with_fixed_weights():
    # The static weights do not depend on the output, so all of the gradient is checked.
    output, hr, low = batch(2)[:, :1, :, :3, :3]
    output = output.clone().requires_grad_()
    loss = FocalPixelLoss(learnable=False)
    assert gradcheck(lambda f: loss(f, hr, low), output)


@pytest.mark.parametrize("scope", ["batch", "image"])
def test_constant_images_give_no_nan(scope):
    grey = torch.full((2, 3, 4, 4), 0.5)
    output = torch.zeros_like(grey, requires_grad=True)
    loss = FocalPixelLoss(focal=FocalParameters(scope=scope))(output, grey, grey)
    loss.backward()
    assert loss.item() == 0
    assert torch.isfinite(output.grad).all()


def test_other_exponents_are_refused():
    with pytest.raises(InputError, match="p 3, expected 1 or 2"):
        FocalPixelLoss(p=3)
