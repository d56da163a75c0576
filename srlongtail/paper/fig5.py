"""Figure 5: which pixels Focal Pixel Learning attends to."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import weights

draw = weights.draw


def compute(inputs: FigureInputs) -> weights.WeightMaps:
    """Weigh the image asked for, or the first, under the last network.

    Without a network the learnable prior is bicubic's own error.
    """
    return weights.compute(inputs.models[-1], inputs.restored)
