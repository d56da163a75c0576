"""The description of a model: every setting that is not the usual one, and notes in words."""

import pytest
from torch import nn

from srlongtail.models.facts import Provenance
from srlongtail.models.sr_model import SRModel
from srlongtail.paper.complexity import describe


class Unusual(nn.Module):
    """Mirrors more pixels than a small image has, and returns two images of its input's size."""

    def __init__(self):
        super().__init__()
        self.pad = nn.ReflectionPad2d(40)
        self.conv = nn.Conv2d(1, 1, 1, bias=False)

    def forward(self, x):
        return self.conv(self.pad(x))[..., 40:-40, 40:-40], x


def facts(model: SRModel) -> dict[str, str]:
    return dict(line.strip().split("  ", 1) for line in describe(model).splitlines())


def test_settings_that_are_not_the_usual_ones_are_told():
    notes = ("weights in float16, computed in float32", "another note")
    provenance = Provenance(determined_by={"output": "probe", "enlarged": "card"}, notes=notes)
    known = {"channels": "y", "enlarged": True, "output": 0, "provenance": provenance}
    told = {k: v.strip() for k, v in facts(SRModel(Unusual(), 1, **known)).items()}
    assert told["enlarged"] == "True  (card)"
    assert told["output"] == "0  (probe)"
    assert told["channels"] == "y"
    assert told["notes"] == "; ".join(notes)
    assert "takes scale" not in told
    usual = facts(SRModel(nn.Conv2d(3, 3, 1), 1))
    assert not {"enlarged", "takes scale", "output", "notes"} & usual.keys()


def test_operations_are_counted_at_a_size_that_the_network_takes():
    model = SRModel(Unusual(), 1, channels="y", output=0)
    told = facts(model)
    assert told["counted as"].strip().endswith("for a 64 x 64 input")
    # A 1x1 convolution of one channel, on the padded image.
    assert told["operations"].strip() == f"{2 * (64 + 80) ** 2:,}"


def test_a_network_that_takes_no_image_at_all_is_an_error():
    with pytest.raises(ValueError, match="the network failed"):
        describe(SRModel(nn.Linear(7, 7), 1))
