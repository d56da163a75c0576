"""Super-resolution networks as plain modules, with the published state-dictionary keys."""

from srlongtail.models.networks.bsrn import BSRN
from srlongtail.models.networks.bsrn_s import BSRNS
from srlongtail.models.networks.carn import CARN
from srlongtail.models.networks.carn_official import OfficialCARN
from srlongtail.models.networks.edsr import EDSR
from srlongtail.models.networks.espcn import ESPCN
from srlongtail.models.networks.fsrcnn import FSRCNN
from srlongtail.models.networks.fsrcnn_ports import PortedFSRCNN
from srlongtail.models.networks.imdn import IMDN
from srlongtail.models.networks.msrn import MSRN
from srlongtail.models.networks.pan import PAN
from srlongtail.models.networks.rfdn import RFDN
from srlongtail.models.networks.rlfn import RLFN
from srlongtail.models.networks.srcnn import SRCNN
from srlongtail.models.networks.srresnet import SRResNet
from srlongtail.models.networks.srvgg import SRVGG
from srlongtail.models.networks.swinir import SwinIR
from srlongtail.models.networks.vapsr import VapSR
from srlongtail.models.networks.vdsr import VDSR

__all__ = [
    "BSRN",
    "BSRNS",
    "CARN",
    "EDSR",
    "ESPCN",
    "FSRCNN",
    "IMDN",
    "MSRN",
    "PAN",
    "RFDN",
    "RLFN",
    "SRCNN",
    "SRVGG",
    "VDSR",
    "OfficialCARN",
    "PortedFSRCNN",
    "SRResNet",
    "SwinIR",
    "VapSR",
]
