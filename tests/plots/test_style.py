"""One look: widths, colours that stay apart, names."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from srlongtail.plots.style import (
    BICUBIC_GREY,
    display_name,
    letter,
    line_style,
    network_colors,
    paper_style,
)

NETWORKS = ["fsrcnn", "carn", "srresnet", "msrn", "swinir", "bsrn"]

# Linear RGB as seen without the middle-wave cones (Viénot, Brettel and Mollon 1999).
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def test_a_network_has_one_colour_whatever_its_arm_or_company():
    alone = network_colors(["fsrcnn-x4"])["fsrcnn-x4"]
    together = network_colors(["mine", "bicubic", "fsrcnn-fpl-x4", "other"])
    assert together["fsrcnn-fpl-x4"] == alone
    assert together["bicubic"] == BICUBIC_GREY
    assert len(set(together.values())) == 4


def test_colours_stay_apart_for_colour_blind_readers():
    colors = network_colors([*NETWORKS, "bicubic"])
    for one, two in combinations(colors.values(), 2):
        difference = DEUTERANOPIA @ (np.array(to_rgb(one)) ** 2.2 - np.array(to_rgb(two)) ** 2.2)
        assert np.abs(difference).max() > 0.08, (one, two)


def test_the_fpl_twin_is_solid_and_its_baseline_dashed():
    assert line_style("carn-fpl-x2") == line_style("bicubic") == "-"
    assert line_style("carn-x2") == "--"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("swinir-x2", "SwinIR"),
        ("msrn-skip-x4", "MSRN+skip"),
        ("bsrn-fpl-x4-degraded", "BSRN+FPL"),
        ("mynet-x4", "mynet-x4"),
        ("bicubic", "bicubic"),
        ("a_very_long_name_of_a_file", "a_very_l…a_file"),
    ],
)
def test_display_names(name, shown):
    assert display_name(name) == shown


def test_fonts_are_embedded_and_the_style_is_left_again():
    before = mpl.rcParams["pdf.fonttype"]
    with paper_style():
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert 7 <= mpl.rcParams["font.size"] <= 8
    assert mpl.rcParams["pdf.fonttype"] == before


def test_letters():
    ax = Figure().add_subplot()
    assert letter(ax, 3, "HR") is ax
    assert ax.get_title(loc="left") == "(d) HR"


def test_the_style_ends_with_its_block_but_leaves_a_notebook_interactive():
    before = mpl.rcParams["font.size"]
    was_interactive = mpl.is_interactive()
    try:
        mpl.interactive(False)
        with paper_style():
            mpl.interactive(True)
        assert mpl.is_interactive()
        assert mpl.rcParams["font.size"] == before != 7
    finally:
        mpl.interactive(was_interactive)
