"""Figure 6: which LR pixels a network draws a window of its SR image from."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import attribution

draw = attribution.draw


def compute(inputs: FigureInputs) -> attribution.WindowAttribution:
    """Attribute the window asked for, or the hardest, under every network; else under bicubic."""
    return attribution.compute(inputs.networks or inputs.models, inputs.restored, inputs.window)
