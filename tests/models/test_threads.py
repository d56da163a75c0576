"""Models that several threads call at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import torch
from torch import Tensor, nn

from srlongtail.image.dataset import ImagePair
from srlongtail.models.sr_model import SRModel
from srlongtail.models.threads import ModelsInThreads

MEETING = Barrier(2, timeout=20)  # not in the network: it cannot be copied


class Remembers(nn.Module):
    """Keeps the size of its image in itself, as many networks do, until both images are inside."""

    def __init__(self, meets: bool) -> None:
        super().__init__()
        self.scaling = nn.Parameter(torch.tensor(2.0))
        self.meets = meets

    def forward(self, x: Tensor) -> Tensor:
        self.size = x.shape[-2:]
        if self.meets:
            MEETING.wait()
        return self.scaling * x[..., : self.size[0], : self.size[1]].repeat_interleave(
            2, -1
        ).repeat_interleave(2, -2)


class NotCopied(Remembers):
    def __deepcopy__(self, memo: object) -> "NotCopied":
        raise TypeError("holds an open file")


def restored(network: nn.Module) -> list[Tensor]:
    model = SRModel(network, 2, value_range=255)
    models = ModelsInThreads()
    pairs = [
        ImagePair("a", torch.rand(3, 2 * height, 2 * width), torch.rand(3, height, width) / 4)
        for height, width in ((4, 6), (6, 4))
    ]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda pair: models.restore_pair(model, pair), pairs))
    for pair, sr in zip(pairs, found, strict=True):
        assert sr.shape == pair.hr.shape
        assert torch.allclose(sr[:, ::2, ::2], 2 * pair.lr)
    return found


def test_each_thread_has_its_own_layers():
    restored(Remembers(meets=True))


def test_a_network_that_cannot_be_copied_restores_one_image_at_a_time():
    restored(NotCopied(meets=False))


def test_copies_share_the_weights():
    model = SRModel(Remembers(meets=False), 2, value_range=255)
    models = ModelsInThreads()
    pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 4, 4))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(models.restore_pair, model, pair).result()
    (copy,) = models._copies.values()
    assert copy is not model
    assert copy.network.scaling is model.network.scaling
