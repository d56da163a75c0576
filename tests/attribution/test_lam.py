"""Local attribution maps: crop against whole, captum's tools, and what is refused."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from captum.attr import NoiseTunnel
from captum.metrics import infidelity, sensitivity_max
from torch import nn

from srlongtail.attribution.lam import (
    LocalAttribution,
    completeness_error,
    local_attribution,
)
from srlongtail.attribution.path import BlurPath, LinearPath
from srlongtail.attribution.receptive_field import receptive_field
from srlongtail.attribution.target import GradientDetector, Intensity
from srlongtail.errors import InputError
from srlongtail.geometry import Box
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_model import SRModel
from srlongtail.studies.attribute_image import published_pair

WINDOW = (30, 40, 16)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def authors_fsrcnn(shared):
    path = shared / "checkpoints" / "4x_FSRCNN_FPL.pth"
    return load_model(path, predicts="residual", value_range=1)


def test_completeness_is_as_far_off_as_published(shared, authors_fsrcnn):
    pair = published_pair(str(shared / "data/test/Set5/HR/butterfly.png"), 4)
    ten, fifty = (
        local_attribution(authors_fsrcnn, pair.lr, (100, 140, 16), n_steps=n) for n in (10, 50)
    )
    assert fifty.completeness_error < ten.completeness_error / 2 < 0.1


def check_crop(model, lr, window, n_steps=3):
    """LAM on the crop equals LAM on the whole image, which `published` computes."""
    found = local_attribution(model, lr, window, n_steps=n_steps)
    whole = local_attribution(model, lr, window, n_steps=n_steps, published=True)
    row, column, size = window
    crop = receptive_field(model, lr).box(row, column, size + 1, *lr.shape[-2:])
    assert found.computed_on.box == found.field == crop
    assert crop.pixels < 0.8 * lr[0].numel()
    assert "equals that on" in found.computed_on.why
    assert relative(found.attributions, whole.attributions) < 1e-5
    exact = local_attribution(model, lr, window, n_steps=n_steps, target=partial(_whole, window))
    assert exact.computed_on.box == Box(0, 0, *lr.shape[-2:])
    assert found.n_eff == pytest.approx(exact.n_eff, rel=1e-5)
    assert found.diffusion_index == pytest.approx(exact.diffusion_index, rel=1e-5)
    assert found.canvas == exact.canvas == tuple(lr.shape[-2:])
    outside = torch.ones_like(lr, dtype=torch.bool)
    crop.cut(outside).fill_(False)
    assert (found.attributions[outside] == 0).all()
    assert (exact.attributions[outside] == 0).all()


def _whole(window, _):
    """The detector as a callable that does not say what it reads, so that nothing is cropped."""
    return lambda sr: GradientDetector(window)(sr)


@pytest.mark.parametrize(
    ("name", "side", "window"),
    [
        ("fsrcnn", 40, (60, 80, 16)),
        ("fsrcnn", 30, (104, 0, 16)),
        ("carn", 40, (0, 4, 16)),
        pytest.param("carn", 64, (120, 130, 16), marks=pytest.mark.slow),
        pytest.param("srresnet", 70, (0, 8, 16), marks=pytest.mark.slow),
        pytest.param("srresnet", 100, (190, 190, 16), marks=pytest.mark.slow),
        pytest.param("msrn", 64, (240, 0, 16), marks=pytest.mark.slow),
    ],
)
def test_crop_and_whole_are_equal(name, side, window):
    torch.manual_seed(0)
    model = new_model(name, 4, predicts="residual" if name == "fsrcnn" else "image")
    check_crop(model, torch.rand(3, side, side), window)


@pytest.mark.parametrize(("name", "size"), [("swinir", (17, 13)), ("bsrn", (30, 27))])
def test_networks_without_a_finite_field_are_run_on_the_whole_image(name, size, plain):
    torch.manual_seed(0)
    model, lr = new_model(name, 4), torch.rand(3, *size)
    found = local_attribution(model, lr, (20, 16, 16), n_steps=3)
    assert relative(found.attributions, plain(model, lr, (20, 16, 16), n_steps=3)) < 1e-4
    assert found.computed_on.box == found.field == Box(0, 0, *size)
    assert "the receptive field exceeds a canvas" in found.settings["because"]


class OnGrid(nn.Module):
    """Adds the mean of each 4 x 4 block: a finite field that is not the same everywhere."""

    def forward(self, lr):
        means = nn.functional.avg_pool2d(lr, 4)
        return lr + means.repeat_interleave(4, -1).repeat_interleave(4, -2)


@pytest.mark.parametrize("window", [(8, 8, 4), (9, 10, 4), (17, 5, 6), (36, 0, 4)])
def test_a_network_on_a_grid_is_found_out(window):
    lr = torch.rand(3, 40, 40)
    model = SRModel(OnGrid(), 1, multiple=4)
    found = local_attribution(model, lr, window, target=Intensity, n_steps=2)
    leaf = lr[None].clone().requires_grad_()
    (slope,) = torch.autograd.grad(Intensity(window)(model(leaf)).sum(), leaf)
    expected = slope[0] * (lr - BlurPath()(lr[None], torch.zeros(1))[0, 0])
    assert relative(found.attributions, expected) < 1e-5
    assert found.computed_on.box == found.field == Box(0, 0, 40, 40)
    assert "the network is not shift-invariant" in found.settings["because"]


class EvenSizes(nn.Module):
    """Looks the same everywhere, but refuses odd sizes."""

    def forward(self, lr):
        return nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(lr, 2), 2)


def test_a_network_that_refuses_the_crops_size():
    found = local_attribution(EvenSizes(), torch.rand(3, 40, 40), (9, 9, 4), n_steps=2)
    assert found.computed_on.box == Box(0, 0, 40, 40)
    assert "the network refuses 5 x 5 LR pixels: pixel_unshuffle" in found.computed_on.why


class SizeAware(nn.Module):
    """Behaves differently on large images, which only a look at the whole image tells."""

    def forward(self, lr):
        return lr * (2 if lr.shape[-1] > 90 else 1)


def test_the_whole_output_finds_out_what_surroundings_hide():
    lr, window = torch.rand(3, 100, 100), (50, 50, 8)
    model = SizeAware()
    assert local_attribution(model, lr, window, n_steps=2).computed_on.box.pixels < 100
    found = local_attribution(model, lr, window, n_steps=2, sr=model(lr[None])[0])
    assert found.computed_on.box == Box(0, 0, 100, 100)
    assert "off that on 100 x 100 LR pixels" in found.computed_on.why


def test_a_known_field_and_output_are_not_looked_for_again(network, lr):
    field, sr = receptive_field(network, lr), network(lr[None])[0]
    seen = []

    def watched(x):
        seen.append(x.shape[-2:])
        return network(x)

    found = local_attribution(watched, lr, WINDOW, field=field, sr=sr)
    assert set(seen) == {(found.field.height, found.field.width)}
    assert torch.equal(found.attributions, local_attribution(network, lr, WINDOW).attributions)


def test_a_map_fits_into_a_line_of_a_notebook(network, lr):
    found = local_attribution(network, lr, WINDOW)
    assert "AttributionMap(window=" in repr(found)
    assert "tensor" not in repr(found)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_images_give_no_nan(value):
    model = SRModel(nn.Upsample(scale_factor=4), 4)
    lr = torch.full((3, 24, 24), value)
    found = local_attribution(model, lr, (40, 40, 16))
    assert (found.nan_steps, found.attribution_sum, found.n_eff) == (0, 0, 0)
    assert found.gini == 1
    assert found.completeness_error == 0
    assert np.isfinite(found.frame().to_numpy(float)).all()
    assert found.absolute.isfinite().all()


def test_infinite_slopes_are_counted_in_both_modes():
    model = SRModel(nn.Upsample(scale_factor=4), 4)  # pixels repeat: every block has no slope
    lr = torch.rand(3, 24, 24)
    usual, published = (
        local_attribution(model, lr, (40, 40, 16), n_steps=20, published=p) for p in (False, True)
    )
    assert (usual.nan_steps, published.nan_steps) == (0, 20)
    assert usual.flat_steps == 18  # the last two move nothing
    assert usual.attributions.isfinite().all()
    assert published.attributions.isfinite().all()
    assert usual.completeness_error < 0.05 < published.completeness_error


def test_a_users_own_module(network, lr, plain):
    found = local_attribution(network, lr, WINDOW)
    assert relative(found.attributions, plain(network, lr, WINDOW)) < 1e-5
    assert found.field == Box(4, 7, 15, 18)
    assert torch.equal(found.signed, found.attributions.sum(0))
    assert found.absolute.max() == 1
    assert torch.allclose(found.absolute, found.signed.abs() / found.signed.abs().max())
    assert found.n_eff == pytest.approx(found.diffusion_index / 100 * 24 * 28)
    assert found.gini == pytest.approx(1 - found.diffusion_index / 100)
    change = found.target_end - found.target_start
    assert found.completeness_error == pytest.approx(abs(found.attribution_sum / change - 1))


def test_record_and_frame(network, lr):
    found = local_attribution(network, lr, WINDOW, n_steps=4)
    record = json.loads(json.dumps(found.record()))
    expected = """diffusion_index gini n_eff canvas attribution_sum target_start target_end
        completeness_error nan_steps flat_steps attribution_settings doubts"""
    assert list(record) == expected.split()
    assert record["canvas"] == [24, 28]
    assert record["attribution_settings"]["path"] == "BlurPath(sigma=1.2, size=9)"
    assert record["attribution_settings"]["n_steps"] == 4
    table = found.frame()
    assert table.loc[0, ["row", "col", "size", "lr_height", "lr_width"]].tolist() == [
        *WINDOW,
        24,
        28,
    ]
    assert table.loc[0, "n_eff"] == found.n_eff


def test_other_targets_and_paths(network, lr):
    found = local_attribution(network, lr, WINDOW, target=Intensity, path=LinearPath())
    with torch.no_grad():
        ends = [Intensity(WINDOW)(network(x[None])).item() for x in (torch.zeros_like(lr), lr)]
    assert (found.target_start, found.target_end) == pytest.approx(ends, rel=1e-4)
    assert "target does not say" not in found.computed_on.why
    anything = local_attribution(network, lr, WINDOW, target=lambda _: lambda sr: sr.std((1, 2, 3)))
    assert anything.computed_on.why == "the target does not say which pixels it reads"
    assert (anything.attributions != 0).all()


def test_modules_run_in_eval_mode_and_are_left_as_they_were(lr):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    one, two = (local_attribution(network, lr, (5, 5, 8)) for _ in range(2))
    assert torch.equal(one.attributions, two.attributions)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_convergence_delta_is_by_how_much_the_sum_exceeds_the_change(network, lr):
    lam, target = LocalAttribution(network), GradientDetector(WINDOW)
    images = torch.stack([lr, lr.flip(-1)])
    attributions, delta = lam.attribute(
        images, target, path=LinearPath(), n_steps=20, return_convergence_delta=True
    )
    assert lam.has_convergence_delta()
    with torch.no_grad():
        change = target(network(images)) - target(network(images * 0))
    assert torch.allclose(delta, attributions.sum((1, 2, 3)) - change, atol=1e-4)


def brighten(images):
    """A change that needs no luck, so that batches can be compared."""
    return images + 0.02 * torch.linspace(-1, 1, images.shape[-1])


@pytest.mark.parametrize("at_once", [None, 3, 7])
def test_captums_sensitivity_takes_several_changed_copies_of_several_images(network, at_once):
    lam, target = LocalAttribution(network), GradientDetector(WINDOW)
    images = torch.rand(3, 3, 24, 28)
    found = sensitivity_max(
        lam.attribute,
        images,
        brighten,
        n_perturb_samples=4,
        max_examples_per_batch=at_once,
        target=target,
        n_steps=3,
    )
    before, after = (lam.attribute(x, target, n_steps=3) for x in (images, brighten(images)))
    expected = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    assert torch.allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("at_once", [None, 3, 7])
def test_captums_infidelity_takes_several_changed_copies_of_several_images(network, at_once):
    lam, target = LocalAttribution(network), GradientDetector(WINDOW)
    images = torch.rand(3, 3, 24, 28)
    attributions = lam.attribute(images, target, n_steps=3)
    found = infidelity(
        lambda x: target(network(x)),
        lambda x: (x - brighten(x), brighten(x)),
        images,
        attributions,
        n_perturb_samples=4,
        max_examples_per_batch=at_once,
    )
    predicted = (attributions * (images - brighten(images))).sum((1, 2, 3))
    with torch.no_grad():
        seen = target(network(images)) - target(network(brighten(images)))
    assert torch.allclose(found, (predicted - seen).square(), rtol=1e-3)


def test_captums_noise_tunnel_averages_maps_of_noisy_images(network):
    lam, target = LocalAttribution(network), GradientDetector(WINDOW)
    images = torch.rand(3, 3, 24, 28)
    still = lam.attribute(images, target, n_steps=3)
    options = {"nt_samples": 4, "target": target, "n_steps": 3}
    found, delta = NoiseTunnel(lam).attribute(
        images, stdevs=0.0, return_convergence_delta=True, **options
    )
    assert relative(found, still) < 1e-5
    assert delta.shape == (12,)
    (noisy,) = NoiseTunnel(lam).attribute(
        (images,), nt_type="vargrad", stdevs=0.05, nt_samples_batch_size=2, **options
    )
    assert noisy.shape == images.shape
    assert (noisy > 0).any()


def test_completeness_error_is_a_share_of_the_change():
    assert completeness_error(1.5, 2.0) == 0.25
    assert completeness_error(-1.5, -2.0) == 0.25
    assert completeness_error(0.5, 0.0) == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": (90, 0, 16)}, r"window 90 0 16 \(row, column, size in SR pixels\), expected"),
        ({"window": (0, 0, 97)}, "expected a size from 1 to 96"),
        ({"n_steps": 0}, "n_steps 0, expected at least 1"),
        ({"lr": torch.rand(1, 3, 24, 24)}, r"LR image of shape \(1, 3, 24, 24\), expected \(3, h,"),
        (
            {"lr": torch.rand(3, 4, 24), "window": (0, 0, 8)},
            "4 x 10 pixels, expected at least 5 x 5",
        ),
        ({"model": lambda lr: lr[..., 1:]}, r"the network turned .* into .*, expected"),
        ({"model": lambda lr: upsample_bicubic(lr, 4)[:, :1]}, r"expected \(1, 3, "),
        ({"model": lambda lr: upsample_bicubic(lr, 4) * torch.inf}, "expected finite numbers"),
    ],
)
def test_each_mistake_is_one_line_that_says_what_is_allowed(network, lr, change, message):
    arguments = {"model": network, "lr": lr, "window": WINDOW, **change}
    with pytest.raises(InputError, match=message) as error:
        local_attribution(**arguments)
    assert "\n" not in str(error.value)
