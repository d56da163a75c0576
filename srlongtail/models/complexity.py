"""How large a network is, and how much it computes."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from srlongtail.models.sr_model import SRModel


def count_parameters(model: SRModel) -> int:
    """The number of trainable numbers; BatchNorm's running statistics are not among them.

    >>> from srlongtail.models.sr_model import bicubic
    >>> count_parameters(bicubic(4))
    0
    """
    return sum(parameter.numel() for parameter in model.network.parameters())


def count_operations(model: SRModel, height: int = 32, width: int = 32) -> int:
    """Floating point operations of the network for one `height` x `width` LR image.

    Counted by `torch.utils.flop_counter`: two for each multiply-add of convolutions and matrix
    products; a transposed convolution counts at the size of its *input*; activations,
    normalisation and the bicubic skip are not counted.

    >>> from srlongtail.models.sr_model import SRModel
    >>> conv = torch.nn.Conv2d(3, 3, 1)
    >>> count_operations(SRModel(conv, scale=1)) == 2 * 9 * 32 * 32
    True
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.output(torch.zeros(1, 3, height, width, device=model.device))
    return counter.get_total_flops()
