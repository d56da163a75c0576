"""Eq. 3 to 5 against a plain float64 re-derivation."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters, focal_weight, focal_weights, structure_prior


@settings(max_examples=30, deadline=None)
@given(
    alpha=st.floats(0.1, 2),
    gamma=st.floats(0, 2),
    seed=st.integers(0, 99),
    images=st.integers(1, 3),
)
def test_both_scopes(alpha, gamma, seed, images):
    z = np.random.default_rng(seed).random((images, 3, 5, 4))
    batch = alpha * np.exp(gamma * (z - z.min()) / (z.max() - z.min()))
    assert np.allclose(focal_weight(torch.tensor(z), alpha, gamma).numpy(), batch, atol=1e-12)
    each = [alpha * np.exp(gamma * (i - i.min()) / (i.max() - i.min())) for i in z]
    assert np.allclose(
        focal_weight(torch.tensor(z), alpha, gamma, "image").numpy(), np.stack(each), atol=1e-12
    )


@pytest.mark.parametrize("scope", ["batch", "image"])
def test_a_constant_prior_weighs_every_pixel_alpha(scope):
    weights = focal_weight(torch.full((2, 3, 4, 4), 0.3), 0.5, 1.0, scope)
    assert (weights == 0.5).all()


def test_one_constant_image_beside_another():
    prior = torch.stack([torch.zeros(1, 2, 2), torch.arange(4.0).reshape(1, 2, 2)])
    weights = focal_weight(prior, 1.0, 1.0, "image")
    assert (weights[0] == 1).all()
    assert weights[1].max().item() == pytest.approx(np.e)


def test_the_papers_settings_give_the_papers_ranges():
    hr, low, sr = torch.rand(3, 2, 3, 16, 16)
    weights = focal_weights(hr, low, sr)
    assert weights.static.min().item() == pytest.approx(0.5)
    assert weights.static.max().item() == pytest.approx(0.5 * np.e)
    assert weights.learnable.max().item() == pytest.approx(np.e)
    assert torch.equal(weights.combined, weights.static * weights.learnable)


def test_the_learnable_prior_of_sr_is_that_of_the_residual():
    hr, low, residual = torch.rand(3, 1, 3, 6, 6, dtype=torch.float64)
    by_residual = structure_prior(hr - low, residual)
    assert torch.allclose(by_residual, structure_prior(hr, low + residual), atol=1e-15)


def test_priors_have_no_gradient():
    estimate = torch.rand(1, 3, 4, 4, requires_grad=True)
    assert not structure_prior(torch.rand(1, 3, 4, 4), estimate).requires_grad


def test_mistakes():
    with pytest.raises(InputError, match=r"alpha 0 and 1.0, expected both above 0"):
        FocalParameters(alpha_sp=0)
    with pytest.raises(InputError, match="scope 'pixel', expected 'batch', 'world' or 'image'"):
        FocalParameters(scope="pixel")


WORLD = """
import sys
import torch
import torch.distributed as dist
from srlongtail.focal.weights import focal_weight

dist.init_process_group("gloo")
whole = torch.load(f"{sys.argv[1]}/whole.pt")
own = whole[dist.get_rank() :: 2]
torch.save(focal_weight(own, 0.5, 1.0, "world"), f"{sys.argv[1]}/{dist.get_rank()}.pt")
dist.destroy_process_group()
"""


def test_the_world_scope_is_the_batch_of_all_processes(tmp_path):
    whole = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.save(whole, tmp_path / "whole.pt")
    (tmp_path / "world.py").write_text(WORLD)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node=2", tmp_path / "world.py", tmp_path]
    subprocess.run(command, check=True)
    expected = focal_weight(whole, 0.5, 1.0, "batch")
    for rank in range(2):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt"), expected[rank::2])
    assert torch.equal(focal_weight(whole, 0.5, 1.0, "world"), expected)
