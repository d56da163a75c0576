"""Restore images with the same models in several threads at once."""

import copy
import threading
from itertools import chain

from torch import Tensor

from srlongtail.image.dataset import ImagePair
from srlongtail.image.tiles import Tiling
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import SRModel


class ModelsInThreads:
    """Models that several threads may call at once, with the same results as one.

    Many networks keep facts about the current image, such as its size, in their layers. So each
    further thread calls its own copy of the layers, which shares the weights. Networks on a GPU,
    whose memory might not suffice for two images, and those that cannot be copied restore one
    image at a time.

    Example:
        >>> import torch
        >>> from srlongtail.models.sr_model import bicubic
        >>> pair = ImagePair("a", torch.rand(3, 8, 8), torch.rand(3, 4, 4))
        >>> ModelsInThreads().restore_pair(bicubic(2), pair).shape
        torch.Size([3, 8, 8])
    """

    def __init__(self) -> None:
        self._owner = threading.get_ident()
        self._copies: dict[tuple[int, SRModel], SRModel | None] = {}
        self._one_at_a_time = threading.Lock()

    def restore_pair(self, model: AnyModel, pair: ImagePair, tile: Tiling | None = None) -> Tensor:
        """Return what `model.restore_pair` returns."""
        thread = threading.get_ident()
        if thread == self._owner or not isinstance(model, SRModel):
            return model.restore_pair(pair, tile)
        if (thread, model) not in self._copies:
            self._copies[thread, model] = _copy(model)
        own = self._copies[thread, model]
        if own is not None:
            return own.restore_pair(pair, tile)
        with self._one_at_a_time:
            return model.restore_pair(pair, tile)


def _copy(model: SRModel) -> SRModel | None:
    """Return a copy with the same weights; None if there is none to be called beside the model."""
    if model.device.type != "cpu":
        return None
    weights = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    try:
        return copy.deepcopy(model, weights)
    except Exception:  # objects that cannot be copied raise errors of any kind
        return None
