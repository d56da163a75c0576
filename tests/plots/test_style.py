"""One look: widths, colours that stay apart, names."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from srlongtail.models.facts import ARMS, Subject
from srlongtail.plots.style import (
    BICUBIC_GRAY,
    letter,
    line_style,
    network_colors,
    paper_style,
    rows_and_columns,
)

NETWORKS = ["fsrcnn", "carn", "srresnet", "msrn", "swinir", "bsrn"]

# Linear RGB as seen without the middle-wave cones (Viénot, Brettel and Mollon 1999).
DEUTERANOPIA = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])


def subjects(*architectures, arm="baseline"):
    return [Subject(f"{name}-{arm}", name, name, arm) for name in architectures]


def test_a_network_has_one_colour_whatever_its_arm_or_company():
    (alone,) = network_colors(subjects("fsrcnn")).values()
    mine = [Subject("mine_fsrcnn", "mine"), Subject("other", "other")]  # a name says nothing
    fpl = subjects("bicubic", "fsrcnn", arm="FPL")
    together = network_colors([mine[0], *fpl, mine[1]])
    assert together["fsrcnn-FPL"] == alone
    assert together["bicubic-FPL"] == BICUBIC_GRAY
    assert len(set(together.values())) == 4


def test_colours_stay_apart_for_colour_blind_readers():
    colors = network_colors(subjects(*NETWORKS, "bicubic"))
    for one, two in combinations(colors.values(), 2):
        difference = DEUTERANOPIA @ (np.array(to_rgb(one)) ** 2.2 - np.array(to_rgb(two)) ** 2.2)
        assert np.abs(difference).max() > 0.08, (one, two)


def test_prints_in_grey_tell_bicubic_and_the_arms_of_a_network_apart():
    arms = [*subjects("bicubic"), *(subjects("carn", arm=arm)[0] for arm in ARMS)]
    assert len({line_style(subject) for subject in arms}) == 4
    assert line_style(arms[-1]) == "-"
    colors = network_colors(subjects("bicubic", "fsrcnn"))
    grey, blue = (np.dot(to_rgb(color), (0.299, 0.587, 0.114)) for color in colors.values())
    assert grey > blue + 0.1
    assert grey < 0.6  # still far from paper's white


def test_fonts_are_embedded_as_true_type_and_the_style_is_left_again(tmp_path):
    before = dict(mpl.rcParams)
    with paper_style():
        figure = Figure()
        figure.text(0.5, 0.5, "AD")
        figure.savefig(tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type0" in pdf
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf  # matplotlib's default, which publishers refuse
    assert dict(mpl.rcParams) == before


def test_letters():
    ax = Figure().add_subplot()
    assert letter(ax, 3, "HR") is ax
    assert ax.get_title(loc="left") == "(d) HR"
    labels = [letter(ax, index).get_title(loc="left") for index in (0, 25, 26, 27, 51, 52)]
    assert labels == ["(a)", "(z)", "(aa)", "(ab)", "(az)", "(ba)"]


@pytest.mark.parametrize(
    ("panels", "grid"), [(1, (1, 1)), (6, (1, 6)), (7, (2, 4)), (8, (2, 4)), (13, (3, 5))]
)
def test_panels_fill_rows_of_nearly_equal_length(panels, grid):
    rows, columns = rows_and_columns(panels)
    assert (rows, columns) == grid
    assert (rows - 1) * columns < panels <= rows * columns


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
