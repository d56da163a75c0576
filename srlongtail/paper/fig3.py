"""Figure 3: a crop side by side."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import crop

draw = crop.draw


def compute(inputs: FigureInputs) -> crop.CropComparison:
    """Show the window asked for, or that of the largest gain of the image asked for, or of all."""
    if inputs.window is None and inputs.image is None:
        return inputs.survey.largest_gain
    return crop.compute(inputs.models, [inputs.restored], inputs.window)
