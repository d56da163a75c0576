"""Detected settings are reported on the terminal, whatever they are."""

import pytest

from srlongtail.cli.options import ModelOptions

MODULE = """\
import torch
from torch.nn.functional import interpolate

class SameSize(torch.nn.Module):
    def forward(self, x):
        return x + 0.1 * (x - torch.nn.functional.avg_pool2d(x, 3, 1, 1))

class Pair(torch.nn.Module):
    def forward(self, x, *, scale):
        sr = interpolate(x, scale_factor=scale, mode="bicubic")
        return sr, torch.rand(sr.shape, generator=torch.manual_seed(0))
"""


@pytest.fixture
def reported(tmp_path, monkeypatch, capsys):
    (tmp_path / "unusual_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def report(name):
        ModelOptions(scale=4).load((f"unusual_networks:{name}",))
        return capsys.readouterr().err

    return report


def test_a_network_for_enlarged_images(reported):
    assert "enlarged True (by the size of the network's output)" in reported("SameSize")


def test_a_network_of_two_outputs_that_takes_the_scale_by_name(reported):
    said = reported("Pair")
    assert "takes scale True (by the arguments of the network)" in said
    assert "output 0 (by the probe)" in said
