"""The loss of Focal Pixel Learning (Eq. 6 and 7 of the paper)."""

from functools import partial

from srlongtail.errors import InputError
from srlongtail.focal.pixel_loss import PixelLoss
from srlongtail.focal.weights import FocalParameters, focal_map


class FocalPixelLoss(PixelLoss):
    """Mean of `W(y_sp) * W(y_lp) * |SR - HR|^p`; no gradient flows through the weights.

    The paper writes the loss for f(x), the residual over bicubic that the network predicts, and
    its target y - f_BI(x) (Eq. 6). Here it takes the full SR image, f(x) + f_BI(x), which gives
    the same value, because |SR - HR| = |f(x) - (y - f_BI(x))|. So the loss is the same for networks
    with and without the skip, which belongs to the model (`SRModel.predicts`).

    Each of the two weights can be switched off. With both off, it is the plain L1 (p = 1) or L2
    (p = 2) loss.

    Args:
        static: Weight by bicubic's error (Eq. 3).
        learnable: Weight by the network's own error (Eq. 4).
        focal: Alphas, gammas and scope of the weights; default: the paper's.
        p: Exponent, 1 or 2; 1 in the paper.
        skip: No longer an option of the loss.

    Raises:
        InputError: `skip` is given, or `p` is neither 1 nor 2.

    Example:
        A training loop of one's own, for a network that predicts the residual, needs three lines.

        >>> network, bicubic = torch.nn.Conv2d(3, 3, 3, padding=1), torch.rand(2, 3, 8, 8)
        >>> hr = torch.rand(2, 3, 8, 8)
        >>> loss = FocalPixelLoss()
        >>> sr = network(bicubic) + bicubic
        >>> loss(sr, hr, bicubic).backward()
    """

    def __init__(
        self,
        *,
        static: bool = True,
        learnable: bool = True,
        focal: FocalParameters | None = None,
        p: int = 1,
        skip: object = None,
    ) -> None:
        if skip is not None:
            raise InputError(
                f"skip {skip!r}, expected none: the skip belongs to the model's predicts, and "
                f"FocalPixelLoss takes the full SR image, the network's output plus bicubic"
            )
        parameters = focal or FocalParameters()
        weight = partial(focal_map, parameters=parameters, static=static, learnable=learnable)
        super().__init__(weight if static or learnable else None, p)
        self.reads_bicubic = static
