"""The table of networks that load without an option, in docs/what-loads.md, is what really happens.

`UPDATE_DOCS=1 pytest tests/models/test_what_loads.py` writes it anew.
"""

import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.models.catalog import CATALOG, build, recognize
from srlongtail.models.checkpoint import load_model
from srlongtail.models.complexity import count_parameters

PAGE = Path(__file__).parents[2] / "docs" / "what-loads.md"

HEAD = """\
# What loads

Any of these networks loads from its weights alone: `srlongtail inspect weights.pth` tells which it
is, and what was detected about it. The keys of a checkpoint and the shapes of its weights say which
network it is and how large. Wrappings such as `params_ema` or `state_dict`, and prefixes such as
`module.`, are taken off.

A test writes this table. For every row it saves the weights of a network in its published size,
loads the file, and reads the row off what it got. The weights are untrained, so the test checks
that the network is recognized and its weights fit; it gives `predicts`, `value_range` and
`channels` itself, which a probe detects for trained weights.

"""
FOOT = """
Parameters are counted at x4, without buffers. Where the scale is not in the weights, a name such as
`mine_x4.pth` or `--scale 4` tells it.

With the extra `srlongtail[spandrel]`, the super-resolution networks among
[spandrel's architectures](https://github.com/chaiNNer-org/spandrel#model-architecture-support) load
too. For all others, `weights.pth@module:callable(arguments)` or a model card names the code that
builds the network. A folder of SR images is a MODEL for everything that needs no network.
"""
COLUMNS = (
    "Network", "Paper", "Scales", "Parameters", "A key of its own", "Read from shapes", "Particular"
)  # fmt: skip


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """A row of the table for each network, from a file that was saved and loaded."""
    folder = tmp_path_factory.mktemp("weights")
    states = {name: build(name, scale=4).state_dict() for name in CATALOG}
    return {name: row(name, states, folder) for name in CATALOG}


def row(name: str, states: Mapping[str, Mapping[str, Tensor]], folder: Path) -> list[str]:
    known, state = CATALOG[name], states[name]
    settings = inspect.signature(known.network).parameters
    path = folder / f"{name}_x4.pth"
    torch.save(state, path)
    luma = known.channels is None and settings["channels"].default == 1
    # Untrained weights tell nothing about these, and a probe would rightly refuse them.
    model = load_model(
        path, predicts="image", value_range=1, channels="y" if luma else known.channels or "rgb"
    )
    assert (model.architecture, model.scale) == (name, 4)
    for key, weights in model.network.state_dict().items():
        assert torch.equal(weights, state[key]), key

    scales = [scale for scale in (2, 3, 4, 8) if builds(name, scale)]
    told = [scale for scale in scales if scale_in_weights(name, scale) == scale]
    untold = " from ".join(f"x{scale}" for scale in scales if scale not in told)
    others = {key for other, keys in states.items() if other != name for key in keys}
    layouts = get_args(settings["layout"].annotation) if "layout" in settings else ()
    forms = [build(name, layout=layout).state_dict() for layout in layouts] or [state]
    own_keys = [next(key for key in form if key not in others) for form in forms]
    doc = inspect.getdoc(known.network) or ""
    link = re.search(r"References:\s+(.*), (https://\S+)", doc)
    assert link is not None, f"{name}: no reference"
    particular = {
        "wants the image enlarged by MATLAB's bicubic": known.enlarged,
        "one or three channels: luma, RGB or YCbCr": known.channels is None,
        "weights for several scales in one file": "scales" in settings,
        f"sides padded to multiples of {known.multiple}": known.multiple > 1,
        "LR of at least 15 x 15 pixels": "at least 15" in doc,
        "the scale is not in the weights": not told,
        f"the weights do not tell {untold}": told and untold,
    }
    return [
        f"{known.label} (`{name}`)",
        f"[{link[1]}]({link[2]})",
        ", ".join(f"x{scale}" for scale in scales),
        f"{count_parameters(model):,}",
        " or ".join(f"`{key}`" for key in own_keys),
        ", ".join(a for a in model.provenance.arguments if a != "scale" or told),
        "; ".join(text for text, holds in particular.items() if holds),
    ]


def builds(name: str, scale: int) -> bool:
    try:
        build(name, scale=scale)
    except InputError:
        return False
    return True


def scale_in_weights(name: str, scale: int) -> int | None:
    """The scale that the shapes of the weights tell, of a network that is recognized."""
    recognized = recognize(build(name, scale=scale).state_dict())
    assert recognized is not None
    assert recognized[0] == name
    return recognized[1].get("scale")


def test_the_page_is_what_happens(rows: dict[str, list[str]]) -> None:
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows.values()]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    page = f"{HEAD}{table}{FOOT}"
    if os.environ.get("UPDATE_DOCS"):
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page)
    assert PAGE.read_text() == page
