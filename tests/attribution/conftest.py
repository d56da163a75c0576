"""Small networks, and LAM written down plainly."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small do not gain by threads, and wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Enlarge(nn.Module):
    """Ten lines of a user's network: two convolutions and a shuffle, field 7 x 7 LR pixels."""

    def __init__(self, scale: int = 4, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 5, padding=2)
        self.last = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, lr: Tensor) -> Tensor:
        return self.shuffle(self.last(torch.tanh(self.first(lr))))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return Enlarge().eval()


@pytest.fixture
def lr() -> Tensor:
    return torch.rand(3, 24, 28, generator=torch.Generator().manual_seed(1))


def plain_map(
    model: Callable[[Tensor], Tensor], lr: Tensor, window: tuple[int, int, int], n_steps: int = 50
) -> Tensor:
    """LAM of the whole image, one step at a time: numpy's path, autograd's gradient."""

    def blurred(step: int) -> Tensor:
        sigma = 1.2 * (1 - step / n_steps) + 1e-5
        y, x = np.mgrid[-4:5, -4:5]
        kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
        planes = [correlate(p, kernel / kernel.sum(), mode="mirror") for p in lr.double().numpy()]
        return torch.from_numpy(np.stack(planes))

    row, column, size = window
    total = torch.zeros_like(lr, dtype=torch.float64)
    for step in range(1, n_steps + 1):
        point = blurred(step).to(lr.dtype)[None].requires_grad_()
        sr = model(point)[..., row : row + size + 1, column : column + size + 1]
        down, right = sr[..., 1:, :-1] - sr[..., :-1, :-1], sr[..., :-1, 1:] - sr[..., :-1, :-1]
        target = (down**2 + right**2).sqrt().sum()
        gradient = torch.autograd.grad(target, point)[0][0].double()
        total += gradient * (blurred(step) - blurred(step - 1))
    return total


@pytest.fixture
def plain() -> Callable[..., Tensor]:
    return plain_map
