"""How our SSIM compares with scikit-image's in time: run with `-m benchmark -s`."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from srlongtail.metrics import KernelName, ssim

ROUNDS = 7
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


@pytest.mark.benchmark
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("kernel", "options"), [("uniform", {}), ("gaussian", GAUSSIAN)])
def test_ssim_of_a_2k_rgb_image(
    kernel: KernelName, options: dict[str, object], dtype: type[np.floating]
) -> None:
    rng = np.random.default_rng(0)
    hr = rng.random((1356, 2040, 3)).astype(dtype)
    sr = np.clip(hr + rng.normal(0, 0.05, hr.shape), 0, 1).astype(dtype)
    hr_tensor, sr_tensor = (torch.from_numpy(x).permute(2, 0, 1).contiguous() for x in (hr, sr))

    times = [
        (
            seconds(lambda: structural_similarity(sr, hr, channel_axis=2, data_range=1, **options)),
            seconds(lambda: ssim(sr_tensor, hr_tensor, kernel)),
        )
        for _ in range(ROUNDS)
    ]
    theirs, ours = (median(column) for column in zip(*times, strict=True))
    print(
        f"\n{kernel} {np.dtype(dtype).name}: "
        f"scikit-image {theirs:.3f} s, ours {ours:.3f} s, ratio {theirs / ours:.1f}"
    )
    assert theirs / ours > (2.5 if dtype is np.float64 else 1.5)


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start
