"""Figure 3: a crop side by side."""

from srlongtail.paper.inputs import FigureInputs
from srlongtail.studies import crop

draw = crop.draw


def compute(inputs: FigureInputs) -> crop.CropComparison:
    """Compare the requested window.

    By default, it is the window with the largest gain of the requested image, or of all images.
    """
    if inputs.window is None and inputs.image is None:
        return inputs.survey.largest_gain
    return crop.compute(inputs.models, [inputs.restored], inputs.window)
