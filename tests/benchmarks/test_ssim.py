"""How our SSIM compares with scikit-image's in CPU time of one thread."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from srlongtail.metrics import KernelName, ssim
from tests.benchmarks.conftest import Bench

GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


# Images of 8 bits are what `Protocol.score` compares.
TARGETS = {"float64": 4.0, "float32": 3.0, "uint8": 4.0}
ASSERTED = {
    "uniform": {"float64": 2.2, "float32": 1.4, "uint8": 2.8},
    "gaussian": {"float64": 1.6, "float32": 1.2, "uint8": 1.6},
}


@pytest.mark.benchmark
@pytest.mark.parametrize("dtype", TARGETS)
@pytest.mark.parametrize(("kernel", "options"), [("uniform", {}), ("gaussian", GAUSSIAN)])
def test_ssim_of_a_2k_rgb_image(
    bench: Bench, kernel: KernelName, options: dict[str, object], dtype: str
) -> None:
    rng = np.random.default_rng(0)
    hr = rng.random((1356, 2040, 3))
    sr = np.clip(hr + rng.normal(0, 0.05, hr.shape), 0, 1)
    peak = 255 if dtype == "uint8" else 1
    hr, sr = ((peak * image).astype(dtype) for image in (hr, sr))
    hr_tensor, sr_tensor = (torch.from_numpy(x).permute(2, 0, 1).contiguous() for x in (hr, sr))
    bench.compare(
        f"SSIM of a 2K RGB image, {kernel}, {dtype}",
        lambda: structural_similarity(sr, hr, channel_axis=2, data_range=peak, **options),
        lambda: ssim(sr_tensor, hr_tensor, kernel, peak),
        TARGETS[dtype],
        ASSERTED[kernel][dtype],
    )
