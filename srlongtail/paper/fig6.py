"""Figure 6: the LR pixels that influence a window of the SR image."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import attribution

draw = attribution.draw


def compute(inputs: FigureInputs) -> attribution.WindowAttribution:
    """Attribute the requested window (default: the hardest) for every network.

    Without a network, it is attributed for bicubic.
    """
    return attribution.compute(inputs.networks or inputs.models, inputs.restored, inputs.window)
