"""A mistake, or a network that fails, is one line; --debug shows the traceback before it."""

import sys

import numpy as np
import pytest
import tifffile

from srlongtail import cli

NETS = """
import torch
import torch.nn.functional as F

class Net(torch.nn.Conv2d):
    def __init__(self):
        super().__init__(3, 3, 1)
        torch.nn.init.dirac_(self.weight)

    def forward(self, x):
        x = super().forward(x)
        return F.interpolate(x, scale_factor=4, mode="bicubic", align_corners=False)

class Coordinates(Net):
    def forward(self, x, coordinates):
        return super().forward(x)

class WithoutGradient(Net):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)

class Dropping(Net):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.02, training=True)
"""


@pytest.fixture
def failed(monkeypatch, capsys, tmp_path):
    (tmp_path / "user_debug_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["srlongtail", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        return capsys.readouterr().err

    return run


def test_a_network_that_fails(failed):
    arguments = ("inspect", "user_debug_nets:Coordinates")
    line = failed(*arguments)
    assert line.startswith(
        "srlongtail: error: user_debug_nets:Coordinates: the network cannot be run"
    )
    assert line.count("\n") == 1
    shown = failed(*arguments, "--debug")
    assert shown.endswith(line)
    assert "Traceback (most recent call last)" in shown
    assert "TypeError: Coordinates.forward() missing 1 required positional argument" in shown


def test_a_mistake_in_the_options(failed):
    for shown in (failed("evaluate", "bicubic", "--scale", "x", "--debug"), failed("--debug")):
        assert "Traceback (most recent call last)" in shown
        assert shown.splitlines()[-1].startswith("srlongtail: error: ")


def test_a_command_advises_only_options_that_it_has(failed, tmp_path):
    tifffile.imwrite(tmp_path / "deep.tif", np.full((48, 48), 2.5, np.float32))
    message = "pixels from 2.5 to 2.5, expected 0 to 1;"
    assert f"{message} --white N sets" in failed("weights", "bicubic", "deep.tif")
    (tmp_path / "data").mkdir()
    (tmp_path / "deep.tif").rename(tmp_path / "data" / "deep.tif")
    assert f"{message} --white N sets" in failed("evaluate", "bicubic", "--data", "data")
    trained = failed("train", "fsrcnn-x4", "--data", "data", "--device", "cpu")
    assert f"{message} white=N in Python sets what is white" in trained


KNOWN = ("--predicts", "image", "--value-range", "1")


def test_attribution_needs_a_gradient(failed):
    line = failed("attribute", "user_debug_nets:WithoutGradient", "chelsea", *KNOWN)
    assert line.splitlines()[-1].startswith(
        "srlongtail: error: user_debug_nets:WithoutGradient: the network's output has no gradient"
    )


def test_attribution_of_a_network_that_is_not_deterministic(monkeypatch, capsys, failed):
    arguments = ["attribute", "user_debug_nets:Dropping", "chelsea", *KNOWN]
    monkeypatch.setattr(sys, "argv", ["srlongtail", *arguments, "--window", "80", "80", "16"])
    cli.main()
    notes = capsys.readouterr().err
    assert "srlongtail: note: attribution: the network is not deterministic: two runs on" in notes
