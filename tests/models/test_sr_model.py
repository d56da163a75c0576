"""The wrapper: conventions, padding, restoring whole and in tiles."""

import numpy as np
import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate, summarize
from srlongtail.image.dataset import open_data
from srlongtail.image.resample import upsample_bicubic
from srlongtail.image.tiles import Tiling
from srlongtail.metrics import Y_CHANNEL
from srlongtail.models.sr_model import SRModel, bicubic, matlab_bicubic


class Repeat(nn.Module):
    """Nearest-neighbour enlargement plus a constant; records the sizes it is given."""

    def __init__(self, scale: int = 2, add: float = 0.0) -> None:
        super().__init__()
        self.scale, self.add, self.sizes = scale, nn.Parameter(torch.tensor(add)), []

    def forward(self, x):
        self.sizes.append(tuple(x.shape))
        return x.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2) + self.add


def test_residual_and_image_and_range():
    lr = torch.rand(2, 3, 5, 6)
    nearest = lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
    image = SRModel(Repeat(add=51.0), 2, value_range=255)
    assert torch.allclose(image(lr), nearest + 0.2, atol=1e-6)
    residual = SRModel(Repeat(add=-0.1), 2, predicts="residual")
    assert torch.allclose(residual(lr), nearest - 0.1 + upsample_bicubic(lr, 2), atol=1e-6)
    assert torch.allclose(residual.output(lr), nearest - 0.1, atol=1e-6)


def test_sizes_are_padded_to_a_multiple_and_cropped_again():
    model = SRModel(Repeat(), 2, multiple=8)
    lr = torch.rand(1, 3, 9, 1)
    assert torch.equal(model(lr), lr.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert model.network.sizes == [(1, 3, 16, 8)]


def test_restore_clamps_and_needs_no_batch_and_keeps_the_mode():
    model = SRModel(Repeat(add=0.9), 2).train()
    restored = model.restore(torch.rand(3, 4, 4))
    assert restored.shape == (3, 8, 8)
    assert restored.max() == 1
    assert not restored.requires_grad
    assert model.training
    assert model(torch.rand(1, 3, 4, 4)).max() > 1


def test_forward_is_differentiable_through_bicubic():
    lr = torch.rand(1, 3, 4, 4, requires_grad=True)
    bicubic(4)(lr).sum().backward()
    # Every SR pixel is a weighted mean of LR pixels, so each LR pixel counts 16 times in all.
    assert lr.grad.sum().item() == pytest.approx(lr.numel() * 16, rel=1e-5)


@pytest.mark.parametrize("size", [(3, 20, 75), (3, 5, 6), (3, 1, 1)])
def test_tiles_give_the_same_image_where_the_network_looks_at_one_pixel(size):
    model = SRModel(Repeat(), 2)
    lr = torch.rand(*size)
    assert torch.allclose(model.restore(lr, Tiling(32, 28)), model.restore(lr), atol=1e-6)


def test_short_memory_falls_back_to_pieces_with_a_warning():
    class Greedy(Repeat):
        def forward(self, x):
            if x.shape[-1] > 128:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    lr = torch.rand(3, 10, 200)
    with pytest.warns(UserWarning, match="10 x 200 does not fit in memory; restored in pieces"):
        restored = SRModel(Greedy(), 2, name="greedy").restore(lr)
    assert torch.allclose(restored, SRModel(Repeat(), 2).restore(lr))


def test_other_runtime_errors_are_not_swallowed():
    class Broken(Repeat):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(InputError, match=r"failed on \(1, 3, 4, 4\): .*mat1"):
        SRModel(Broken(), 2).restore(torch.rand(3, 4, 4))


def test_batch_norm_networks_are_put_into_eval_mode():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model = SRModel(network, 1)
    lr = torch.rand(4, 3, 5, 5)
    assert torch.allclose(model(lr)[:1], model(lr[:1]), atol=1e-6)


def test_mistakes():
    with pytest.raises(InputError, match="net: scale 0, expected a whole number from 1 to 32"):
        SRModel(Repeat(), 0, name="net")
    with pytest.raises(InputError, match="predicts 'both', expected 'image' or 'residual'"):
        SRModel(Repeat(), 2, predicts="both")
    with pytest.raises(InputError, match=r"value range 100\.0, expected 1, 255, 'symmetric'"):
        SRModel(Repeat(), 2, value_range=100)
    with pytest.raises(InputError, match=r"input \(3, 4, 4\), expected \(N, 3, h, w\)"):
        SRModel(Repeat(), 2)(torch.rand(3, 4, 4))
    with pytest.raises(
        InputError,
        match=r"\(1, 3, 4, 4\) into \(1, 3, 12, 12\), expected \(1, 3, 8, 8\) at scale 2",
    ):
        SRModel(Repeat(3), 2)(torch.rand(1, 3, 4, 4))


def test_matlabs_bicubic_is_that_of_the_literature(shared):
    # The stored LR images are of HR cropped to multiples of 4, as usual; the paper's rule crops to
    # multiples of 12, which costs 0.03 dB.
    for make_lr, published in ((False, 28.43), (True, 28.40)):
        data = open_data(shared / "data/test/Set5", make_lr=make_lr)
        table = summarize(evaluate([matlab_bicubic(4), bicubic(4)], [data], Y_CHANNEL))
        psnr = table.set_index("model")["psnr_db"]
        assert psnr["bicubic-matlab"] == pytest.approx(published, abs=0.005)
        assert psnr["bicubic"] - psnr["bicubic-matlab"] == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_matlabs_bicubic_by_hand(scale):
    """Keys' cubic with a = -0.5 at the centres of the output's pixels, borders mirrored."""
    lr = torch.rand(1, 3, 5, 6, dtype=torch.float64)

    def weights(size):
        matrix = np.zeros((size * scale, size))
        for row in range(size * scale):
            at = (row + 0.5) / scale - 0.5
            for tap in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
                x = abs(at - tap)
                near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
                mirrored = min(tap % (2 * size), 2 * size - 1 - tap % (2 * size))
                matrix[row, mirrored] += near if x <= 1 else far if x < 2 else 0
        return matrix

    expected = np.einsum("yi,ncij,xj->ncyx", weights(5), lr.numpy(), weights(6))
    assert np.abs(matlab_bicubic(scale)(lr).numpy() - expected).max() < 1e-6
