"""Reading the image of an attribution: deep files with their white."""

import pytest
import tifffile
import torch

from srlongtail.image.io import write_image
from srlongtail.models.sr_model import bicubic
from srlongtail.studies.attribute_image import read_restored


@pytest.mark.parametrize("how", [{}, {"is_lr": True}, {"published": True}])
def test_white_of_a_deep_file(tmp_path, how):
    """Sixteen steps for each level of 8 bits, with white at 255 * 16, are the same image."""
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    write_image(tmp_path / "image.png", image)
    levels = image.mul(255).add(0.5).floor().permute(1, 2, 0).numpy()
    tifffile.imwrite(tmp_path / "image.tif", (16 * levels).astype("uint16"), photometric="rgb")
    expected = read_restored(bicubic(4), str(tmp_path / "image.png"), **how).pair
    found = read_restored(bicubic(4), str(tmp_path / "image.tif"), **how, white=4080).pair
    assert torch.equal(found.hr, expected.hr)
    assert torch.equal(found.lr, expected.lr)
