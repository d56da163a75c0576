"""Every loss against a re-derivation in float64 numpy, its gradient, and images without error."""

import linecache
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import skimage.filters
import skimage.metrics
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters
from srlongtail.longtail.gradients import HasOutputGradient, output_gradient
from srlongtail.losses.catalog import LOSSES, code_of, make_loss


def batch(seed: int, side: int = 16) -> Tensor:
    return torch.rand(3, 2, 3, side, side, dtype=torch.float64, generator=torch.manual_seed(seed))


def grown(z, alpha, gamma):
    """Eq. 5 of the paper."""
    return alpha * np.exp(gamma * (z - z.min()) / (z.max() - z.min()))


def fpl_weight(sr, hr, low):
    return grown(np.abs(hr - low), 0.5, 1) * grown(np.abs(hr - sr), 1, 1)


def sobel_weight(sr, hr, low):
    luma = (np.tensordot([65.481, 128.553, 24.966], hr, axes=(0, 1)) + 16) / 255
    edges = np.stack([skimage.filters.sobel(plane) for plane in luma])
    return grown(edges, 0.5, 1)[:, None]


def without_the_top(sr, hr, low):
    weight = fpl_weight(sr, hr, low)
    keep = int(0.95 * weight.size + 0.5)
    return np.where(weight <= np.sort(weight, axis=None)[keep - 1], weight, 0)


def of_the_half(sr, hr, low):
    error = np.sort(np.abs(sr - hr), axis=None)
    return error[error.size // 2 :].mean()


def shuffled(sr, hr, low):
    weight = fpl_weight(sr, hr, low).reshape(2, 3, -1)
    count = weight.shape[2]
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count)).numpy()
    return weight[:, :, order].reshape(sr.shape)


def focal_frequency(sr, hr, low):
    spectrum = np.abs(scipy.fft.fft2(sr - hr, norm="ortho"))
    weight = spectrum / spectrum.max((2, 3), keepdims=True)
    return (weight * spectrum**2).mean()


def gradient(sr, hr, low):
    found = np.abs(sr - hr).mean()
    for axis in (2, 3):
        found += np.abs(np.abs(np.diff(sr, axis=axis)) - np.abs(np.diff(hr, axis=axis))).mean()
    return found


def ssim_l1(sr, hr, low):
    similarity = [
        skimage.metrics.structural_similarity(
            a, b, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(sr, hr, strict=True)
    ]  # fmt: skip
    return 0.84 * (1 - np.mean(similarity)) + 0.16 * np.abs(sr - hr).mean()


def weighted(weight):
    return lambda sr, hr, low: (weight(sr, hr, low) * np.abs(sr - hr)).mean()


PLAIN = {
    "l1": weighted(lambda sr, hr, low: 1),
    "l2": lambda sr, hr, low: ((sr - hr) ** 2).mean(),
    "charbonnier": lambda sr, hr, low: np.sqrt((sr - hr) ** 2 + 1e-6).mean(),
    "fpl": weighted(fpl_weight),
    "static": weighted(lambda sr, hr, low: grown(np.abs(hr - low), 0.5, 1)),
    "learnable": weighted(lambda sr, hr, low: grown(np.abs(hr - sr), 1, 1)),
    "sobel": weighted(sobel_weight),
    "error-power": lambda sr, hr, low: (np.abs(sr - hr) ** 1.5).mean(),
    "hardest-half": of_the_half,
    "fpl-cut": weighted(without_the_top),
    "focal-frequency": focal_frequency,
    "gradient": gradient,
    "ssim-l1": ssim_l1,
    "l1-half": weighted(lambda sr, hr, low: 0.5),
    "fpl-shuffled": weighted(shuffled),
    "fpl-other-image": weighted(lambda sr, hr, low: fpl_weight(sr, hr, low)[::-1]),
    "bicubic-ad-gamma4": weighted(lambda sr, hr, low: grown(np.abs(hr - low), 0.5, 4)),
}
CLOSED = set(LOSSES) - {"gradient", "ssim-l1"}


def test_every_loss_is_tested():
    assert list(PLAIN) == list(LOSSES)


@pytest.mark.parametrize("name", LOSSES)
def test_the_value_is_that_of_numpy(name):
    loss = make_loss(name)
    for seed in range(3):
        images = batch(seed)
        expected = PLAIN[name](*images.numpy())
        assert loss(*images).item() == pytest.approx(expected, rel=1e-10)
        single = loss(*images.float())
        assert single.dtype == torch.float32
        assert single.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_closed_gradients_are_those_of_automatic_differentiation(name):
    loss, images = make_loss(name), batch(3)
    assert isinstance(loss, HasOutputGradient) == (name in CLOSED)
    closed = output_gradient(loss, *images)
    automatic = output_gradient(loss.forward, *images)
    assert torch.allclose(closed, automatic, rtol=1e-9, atol=1e-15)
    assert automatic.abs().sum() > 0


@pytest.mark.parametrize("name", ["l1", "l2", "charbonnier", "static", "sobel", "l1-half",
                                  "bicubic-ad-gamma4", "gradient", "ssim-l1"])  # fmt: skip
def test_gradcheck_where_no_weight_depends_on_sr(name):
    sr, hr, low = batch(5, side=11)[:, :1]
    loss = make_loss(name)
    assert gradcheck(lambda images: loss(images, hr, low), sr.clone().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scope", ["batch", "image"])
@pytest.mark.parametrize("error", [0.0, 0.25])
def test_constant_images_give_no_nan(name, scope, error):
    grey = torch.full((2, 3, 16, 16), 0.5)
    sr = (grey + error).requires_grad_()
    loss = make_loss(name, focal=FocalParameters(scope=scope))
    value = loss(sr, grey, grey)
    value.backward()
    assert value.item() == pytest.approx(1e-3 if name == "charbonnier" else 0, abs=1e-6) or error
    assert torch.isfinite(sr.grad).all()
    assert sr.grad.abs().sum() > 0 or not error
    if isinstance(loss, HasOutputGradient):
        assert loss.output_gradient(sr, grey, grey).isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_in_half_precision_the_loss_is_in_float32(name):
    sr, hr, low = batch(6).float()
    rough = sr.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        value = make_loss(name)(rough, hr, low)
    assert value.dtype == torch.float32
    assert torch.equal(value, make_loss(name)(rough.float(), hr, low))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_say_whether_they_read_bicubic(name):
    sr, hr, low = batch(7)
    loss = make_loss(name)
    if not loss.reads_bicubic:
        assert torch.equal(loss(sr, hr, low), loss(sr, hr, hr))


@pytest.mark.parametrize("name", ["fpl", "sobel", "hardest-half", "fpl-cut"])
def test_with_scope_image_each_image_is_by_itself(name):
    images = batch(8)
    loss = make_loss(name, focal=FocalParameters(scope="image"))
    alone = [loss(*images[:, i : i + 1]).item() for i in range(2)]
    assert loss(*images).item() == pytest.approx(np.mean(alone), rel=1e-10)


def test_parameters_and_exponent():
    images = batch(9)
    sr, hr, low = images.numpy()
    expected = (grown(np.abs(hr - low), 0.3, 2) * (sr - hr) ** 2).mean()
    focal = FocalParameters(alpha_sp=0.3, gamma_sp=2.0)
    assert make_loss("static", focal=focal, p=2)(*images).item() == pytest.approx(expected)
    own = make_loss("charbonnier(epsilon=0.1)")(*images).item()
    assert own == pytest.approx(((images[0] - images[1]) ** 2 + 0.01).sqrt().mean().item())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sobl", r"loss 'sobl': unknown name, did you mean 'sobel'\?, expected module:callable or"),
        ("charbonnier(eps=1)", "loss charbonnier.eps=1.: .*unexpected keyword argument 'eps'"),
        ("nowhere:Loss", "loss nowhere:Loss: cannot be imported"),
        ("math:sqrt(4)", "loss math:sqrt.4.: made a float, expected a torch nn.Module"),
    ],
)
def test_mistakes(spec, message):
    with pytest.raises(InputError, match=message):
        make_loss(spec)


def test_more_mistakes():
    with pytest.raises(InputError, match="loss charbonnier: p 2, expected 1"):
        make_loss("charbonnier", p=2)
    with pytest.raises(InputError, match="a batch of one image"):
        make_loss("fpl-other-image")(*batch(0)[:, :1])
    with pytest.raises(InputError, match="comes from a file and is not a subclass"):
        make_loss("torch.nn.functional:l1_loss", trusted=False)
    assert isinstance(make_loss("torch.nn:L1Loss", trusted=False), nn.L1Loss)


def test_the_page_about_losses_lists_all_with_their_sources():
    page = Path(__file__).parents[2] / "docs/concepts/losses.md"
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)$", page.read_text(encoding="utf-8"), re.M))
    assert list(rows) == list(LOSSES)
    for name, entry in LOSSES.items():
        if " et al., " in entry.source and not entry.source.startswith("the weight"):
            assert entry.source in rows[name]


def test_a_loss_of_a_notebook_is_known_by_its_cell(monkeypatch):
    notebook = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", notebook)

    def run_cell(text: str, name: str) -> str:
        lines = text.splitlines(keepends=True)
        monkeypatch.setitem(linecache.cache, name, (len(text), None, lines, name))
        exec(compile(text, name, "exec"), notebook.__dict__)
        return code_of(make_loss("__main__:Mine"))

    notebook.nn = nn
    text = """class Mine(nn.Module):
    factor = 2
    def forward(self, sr, hr, bicubic):
        return self.factor * (sr - hr).abs().mean()
"""
    first = run_cell(text, "<cell 1>")
    assert len(first) == 12
    assert run_cell(text, "<cell 2>") == first
    assert run_cell(text.replace("= 2", "= 3"), "<cell 3>") != first
    monkeypatch.delitem(linecache.cache, "<cell 3>")
    assert code_of(notebook.Mine()) == ""  # typed into an interpreter that keeps no source
