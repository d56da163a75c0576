"""Figure 5: the pixels that Focal Pixel Learning weights most."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import weights

draw = weights.draw


def compute(inputs: FigureInputs) -> weights.WeightMaps:
    """Compute the weights of the requested image (default: the first) for the last network.

    Without a network, the learnable prior is bicubic's own error.
    """
    return weights.compute(inputs.models[-1], inputs.restored)
