"""The networks of the paper as plain modules, with the published state-dictionary keys."""

from srlongtail.models.networks.bsrn import BSRN
from srlongtail.models.networks.carn import CARN
from srlongtail.models.networks.fsrcnn import FSRCNN
from srlongtail.models.networks.msrn import MSRN
from srlongtail.models.networks.srresnet import SRResNet
from srlongtail.models.networks.swinir import SwinIR

__all__ = ["BSRN", "CARN", "FSRCNN", "MSRN", "SRResNet", "SwinIR"]
