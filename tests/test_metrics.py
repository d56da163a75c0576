"""PSNR, SSIM and the protocols, against scikit-image and closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srlongtail import metrics
from srlongtail.errors import InputError
from srlongtail.image.tiles import Tiling
from srlongtail.metrics import PAPER, PROTOCOLS, Y_CHANNEL, KernelName, Protocol, psnr, ssim

KERNELS: dict[KernelName, dict[str, object]] = {
    "uniform": {},
    "gaussian": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
}
SIZES: dict[KernelName, int] = {"uniform": 7, "gaussian": 11}

Metric = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

either_kernel = pytest.mark.parametrize("kernel", get_args(KernelName))


def noisy_pair(*shape: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    return a, np.clip(a + rng.normal(0, 0.1, shape), 0, 1)


def photo_pair() -> tuple[np.ndarray, np.ndarray]:
    """A photo in 8-bit levels, `(3, 301, 399)`, and the same with noise: several strips."""
    a = np.moveaxis(data.astronaut()[:301, :399], -1, 0) / 255
    noise = np.random.default_rng(0).normal(0, 0.05, a.shape)
    return a, np.round(np.clip(a + noise, 0, 1) * 255) / 255


def skimage_ssim(a: np.ndarray, b: np.ndarray, kernel: KernelName, data_range: float = 1) -> float:
    return structural_similarity(a, b, channel_axis=0, data_range=data_range, **KERNELS[kernel])


def our_ssim(a: np.ndarray, b: np.ndarray, kernel: KernelName, data_range: float = 1) -> float:
    return ssim(torch.from_numpy(a), torch.from_numpy(b), kernel, data_range).item()


# PSNR


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_is_that_of_scikit_image(data_range: float) -> None:
    a, b = (x * data_range for x in noisy_pair(3, 31, 17))

    ours = psnr(torch.from_numpy(a), torch.from_numpy(b), data_range)

    assert ours.dtype == torch.float64
    expected = peak_signal_noise_ratio(a, b, data_range=data_range)
    assert ours.item() == pytest.approx(expected, rel=1e-12)


def test_psnr_of_a_constant_offset() -> None:
    a = torch.rand(3, 9, 9, dtype=torch.float64)
    assert psnr(a, a + 0.01).item() == pytest.approx(40, rel=1e-12)


def test_psnr_of_equal_images_is_infinite() -> None:
    a = torch.rand(3, 9, 9)
    assert psnr(a, a).item() == math.inf


def test_psnr_does_not_overflow_on_8_bit_tensors() -> None:
    black = torch.zeros(3, 4, 4, dtype=torch.uint8)
    white = torch.full_like(black, 255)
    assert psnr(black, white, data_range=255).item() == 0


def test_psnr_gives_one_value_per_leading_index() -> None:
    a, b = map(torch.from_numpy, noisy_pair(2, 4, 3, 8, 8))

    values = psnr(a, b)

    assert values.shape == (2, 4)
    assert values[1, 2] == psnr(a[1, 2], b[1, 2])


# SSIM


@either_kernel
def test_ssim_of_a_photo_is_that_of_scikit_image(kernel: KernelName) -> None:
    a, b = photo_pair()
    assert our_ssim(a, b, kernel) == pytest.approx(skimage_ssim(a, b, kernel), abs=1e-12)


@either_kernel
def test_ssim_of_a_float32_photo_is_that_of_scikit_image(kernel: KernelName) -> None:
    a, b = photo_pair()
    ours = our_ssim(a.astype(np.float32), b.astype(np.float32), kernel)
    assert ours == pytest.approx(skimage_ssim(a, b, kernel), abs=1e-6)


@either_kernel
def test_ssim_is_the_mean_over_the_channels(kernel: KernelName) -> None:
    a, b = photo_pair()
    channels = [
        structural_similarity(x, y, data_range=1, **KERNELS[kernel])
        for x, y in zip(a, b, strict=True)
    ]
    assert our_ssim(a, b, kernel) == pytest.approx(np.mean(channels), abs=1e-12)


@either_kernel
@settings(deadline=None, max_examples=25)
@given(drawn=st.data())
def test_ssim_of_any_image_is_that_of_scikit_image(
    kernel: KernelName, drawn: st.DataObject
) -> None:
    side = st.integers(SIZES[kernel], 40)
    shape = drawn.draw(st.tuples(st.integers(1, 4), side, side), label="shape")
    a, b = noisy_pair(*shape, seed=drawn.draw(st.integers(0, 99), label="seed"))
    if drawn.draw(st.booleans(), label="8-bit levels"):
        a, b = np.round(a * 255) / 255, np.round(b * 255) / 255
    assert our_ssim(a, b, kernel) == pytest.approx(skimage_ssim(a, b, kernel), abs=1e-12)


@either_kernel
def test_ssim_of_an_image_that_is_one_kernel(kernel: KernelName) -> None:
    a, b = noisy_pair(3, SIZES[kernel], SIZES[kernel])
    assert our_ssim(a, b, kernel) == pytest.approx(skimage_ssim(a, b, kernel), abs=1e-12)


@either_kernel
def test_ssim_follows_the_data_range(kernel: KernelName) -> None:
    a, b = (x * 255 for x in photo_pair())
    assert our_ssim(a, b, kernel, 255) == pytest.approx(skimage_ssim(a, b, kernel, 255), abs=1e-12)


@either_kernel
@pytest.mark.parametrize("bytes_at_once", [1, 4000, 40000])
@pytest.mark.parametrize("columns", [1, 16, 512])
def test_ssim_does_not_depend_on_the_tiles(
    kernel: KernelName, bytes_at_once: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = noisy_pair(3, 30, 41)
    expected = skimage_ssim(a, b, kernel)

    monkeypatch.setattr(metrics, "_TILE_BYTES", bytes_at_once)
    monkeypatch.setattr(metrics, "_TILE_COLUMNS", columns)

    assert our_ssim(a, b, kernel) == pytest.approx(expected, abs=1e-12)


@either_kernel
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.4, 0.5), (200 / 255, 201 / 255)])
def test_ssim_of_flat_images(kernel: KernelName, low: float, high: float) -> None:
    a, b = torch.full((3, 16, 16), low), torch.full((3, 16, 16), high)
    c1 = 0.01**2
    expected = (2 * low * high + c1) / (low**2 + high**2 + c1)
    assert ssim(a, b, kernel).item() == pytest.approx(expected, abs=1e-6)


@either_kernel
def test_ssim_of_8_bit_images(kernel: KernelName) -> None:
    rng = np.random.default_rng(0)
    a = np.full((3, 70, 90), 255, np.uint8)  # bright and nearly flat: the largest sums
    a[:, :40] = rng.integers(0, 256, (3, 40, 90))
    b = np.clip(a + rng.normal(0, 3, a.shape), 0, 255).astype(np.uint8)
    expected = skimage_ssim(a.astype(float), b.astype(float), kernel, 255)

    value = ssim(torch.from_numpy(a), torch.from_numpy(b), kernel, 255).item()

    assert value == pytest.approx(expected, abs=1e-8 if kernel == "uniform" else 1e-13)


@either_kernel
def test_ssim_of_an_image_with_itself_is_one(kernel: KernelName) -> None:
    a = torch.rand(3, 16, 16)
    assert ssim(a, a, kernel).item() == pytest.approx(1, abs=1e-14)


@either_kernel
def test_ssim_of_a_batch_is_that_of_each_image(kernel: KernelName) -> None:
    a, b = map(torch.from_numpy, noisy_pair(2, 5, 3, 13, 15))

    values = ssim(a, b, kernel)

    assert values.shape == (2, 5)
    for index in np.ndindex(2, 5):
        assert values[index].item() == pytest.approx(ssim(a[index], b[index], kernel).item())


@either_kernel
def test_ssim_is_differentiable(kernel: KernelName) -> None:
    a, b = (torch.from_numpy(x).requires_grad_() for x in noisy_pair(1, 12, 12))
    assert torch.autograd.gradcheck(lambda x, y: ssim(x, y, kernel), (a, b))


def test_ssim_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        ssim(torch.rand(3, 9, 9), torch.rand(3, 9, 9))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.gpu
@either_kernel
def test_ssim_on_a_gpu_is_that_on_the_cpu(kernel: KernelName) -> None:
    a, b = map(torch.from_numpy, photo_pair())
    on_gpu = ssim(a.cuda(), b.cuda(), kernel)
    assert on_gpu.is_cuda
    assert on_gpu.item() == pytest.approx(ssim(a, b, kernel).item(), abs=1e-12)


@pytest.mark.parametrize(
    ("kernel", "shape", "size"),
    [("uniform", (3, 6, 20), "7x7"), ("gaussian", (3, 20, 10), "11x11")],
)
def test_ssim_refuses_images_smaller_than_the_kernel(
    kernel: KernelName, shape: tuple[int, ...], size: str
) -> None:
    with pytest.raises(InputError, match=f"{shape[1]}x{shape[2]} .* smaller .* {kernel} .* {size}"):
        ssim(torch.zeros(shape), torch.zeros(shape), kernel)


def test_ssim_refuses_an_unknown_kernel() -> None:
    with pytest.raises(InputError, match="'uniform' or 'gaussian', got 'box'"):
        ssim(torch.zeros(3, 9, 9), torch.zeros(3, 9, 9), "box")  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_images_of_different_shapes_are_refused(metric: Metric) -> None:
    with pytest.raises(InputError, match=r"differ in shape: \(3, 9, 9\) and \(3, 9, 8\)"):
        metric(torch.zeros(3, 9, 9), torch.zeros(3, 9, 8))


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_images_without_channels_are_refused(metric: Metric) -> None:
    with pytest.raises(InputError, match=r"\(\.\.\., C, H, W\), got \(9, 9\)"):
        metric(torch.zeros(9, 9), torch.zeros(9, 9))


# Protocol


def restored_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A photo and a "restored" one that leaves [0, 1] and lies between the 8-bit levels."""
    hr = torch.from_numpy(photo_pair()[0])[:, 100:148, 150:210]
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.08, hr.shape))
    return (hr + noise).float(), hr.float()


def uint8_hwc(image: torch.Tensor) -> np.ndarray:
    levels = np.floor(np.clip(image.double().numpy(), 0, 1) * 255 + 0.5)
    return np.moveaxis(levels.astype(np.uint8), 0, -1)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_paper_protocol_is_scikit_image_on_8_bit_rgb(scale: int) -> None:
    sr, hr = restored_pair()
    a, b = (uint8_hwc(image)[scale:-scale, scale:-scale] for image in (sr, hr))

    score = PAPER.score(sr, hr, scale)

    assert score.psnr_db == pytest.approx(peak_signal_noise_ratio(a, b), rel=1e-12)
    assert score.ssim == pytest.approx(structural_similarity(a, b, channel_axis=-1), abs=1e-8)


def test_y_protocol_is_scikit_image_on_unrounded_luma() -> None:
    sr, hr = restored_pair()
    a, b = (rgb2ycbcr(uint8_hwc(image)[4:-4, 4:-4])[..., 0] for image in (sr, hr))

    score = Y_CHANNEL.score(sr, hr, scale=4)

    expected_ssim = structural_similarity(a, b, data_range=255, **KERNELS["gaussian"])
    assert score.psnr_db == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), rel=1e-12)
    assert score.ssim == pytest.approx(expected_ssim, abs=1e-9)


def test_the_protocols_disagree() -> None:
    sr, hr = restored_pair()
    paper, y = (protocol.score(sr, hr, scale=4) for protocol in (PAPER, Y_CHANNEL))
    assert abs(paper.psnr_db - y.psnr_db) > 0.5
    assert abs(paper.ssim - y.ssim) > 0.005


def test_score_is_two_plain_floats() -> None:
    sr, hr = restored_pair()
    assert [type(value) for value in PAPER.score(sr, hr, 4)] == [float, float]


def test_the_border_is_left_out() -> None:
    hr = restored_pair()[1]
    sr = hr.clone()
    sr[:, 5, 5] = 1 - sr[:, 5, 5]

    assert replace(PAPER, border=6).score(sr, hr, scale=4) == (math.inf, pytest.approx(1))
    assert replace(PAPER, border=5).score(sr, hr, scale=4).psnr_db < math.inf


def test_score_without_a_border() -> None:
    sr, hr = restored_pair()
    score = replace(PAPER, border=0).score(sr, hr, scale=4)
    assert score.psnr_db == pytest.approx(peak_signal_noise_ratio(uint8_hwc(sr), uint8_hwc(hr)))


@pytest.mark.parametrize("size", [(14, 40), (40, 14), (5, 5)])
def test_score_refuses_an_image_that_the_crop_uses_up(size: tuple[int, int]) -> None:
    image = torch.zeros(3, *size)
    message = f"{size[0]}x{size[1]} pixels is too small: 4 are cropped .* uniform .* 7x7"
    with pytest.raises(InputError, match=message):
        PAPER.score(image, image, scale=4)


def test_score_refuses_images_of_different_sizes() -> None:
    with pytest.raises(InputError, match=r"differ in shape: \(3, 24, 24\) and \(3, 25, 24\)"):
        PAPER.score(torch.zeros(3, 24, 24), torch.zeros(3, 25, 24), scale=4)


@pytest.mark.parametrize("shape", [(1, 24, 24), (2, 3, 24, 24)])
def test_score_refuses_all_but_one_rgb_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"one image of shape \(3, H, W\), got \(.*24, 24\)"):
        PAPER.score(torch.zeros(shape), torch.zeros(shape), scale=4)


@pytest.mark.parametrize(
    ("architecture", "dataset", "tiled"),
    [
        ("swinir", "Set5", True),
        ("SwinIR", "Set5", True),
        ("fsrcnn", "test2k", True),
        (None, "Test2K", True),
        ("fsrcnn", "Set5", False),
        (None, "Set5", False),
    ],
)
def test_the_paper_tiles_swinir_and_test2k(
    architecture: str | None, dataset: str, tiled: bool
) -> None:
    assert PAPER.tiling(architecture, dataset) == (Tiling(32, 28) if tiled else None)
    assert Y_CHANNEL.tiling(architecture, dataset) is None


def test_protocols_are_found_by_name() -> None:
    assert PROTOCOLS == {"paper": PAPER, "y": Y_CHANNEL}


def test_the_paper_settings() -> None:
    assert (PAPER.channels, PAPER.kernel, PAPER.border) == ("rgb", "uniform", None)


@pytest.mark.parametrize(
    ("channels", "kernel", "message"),
    [("Y", "uniform", "'rgb' or 'y', got 'Y'"), ("y", "box", "'gaussian', got 'box'")],
)
def test_a_protocol_refuses_unknown_settings(channels: str, kernel: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Protocol("mine", channels, kernel)  # type: ignore[arg-type]
