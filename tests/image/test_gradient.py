"""The gradient against scikit-image."""

import numpy as np
import pytest
import skimage.filters
import torch

from srlongtail.image.gradient import sobel


def test_sobel_is_that_of_scikit_image():
    planes = torch.rand(2, 3, 9, 7, dtype=torch.float64, generator=torch.manual_seed(0))
    expected = [[skimage.filters.sobel(plane.numpy()) for plane in image] for image in planes]
    assert sobel(planes).numpy() == pytest.approx(np.array(expected), abs=1e-15)
