"""Find the file of a network that ships, that was built here, or that a path names.

Without torch, so that the command line can use it before it knows whether it needs torch.
"""

import os
from pathlib import Path

ZOO = Path(__file__).parents[1] / "zoo"
BUILT = Path("runs/zoo")  # where `srlongtail zoo build` puts networks that do not ship
RUN_CHECKPOINT = "checkpoint.safetensors"  # in the folder of a training run


def zoo_names() -> list[str]:
    """Return the names of the trained networks that ship with the package."""
    return sorted(path.stem for path in ZOO.glob("*.safetensors"))


def default_networks() -> tuple[str, ...]:
    """Return the shipped networks to show by default: a baseline and its FPL twin."""
    return tuple(name for name in ("fsrcnn-x4", "fsrcnn-fpl-x4") if name in zoo_names())


def find_file(source: str) -> Path | None:
    """Return the checkpoint or card that a path or a name refers to, if any."""
    in_zoo = [folder / f"{source}.safetensors" for folder in (ZOO, BUILT)]
    for path in (Path(source), Path(source) / RUN_CHECKPOINT, *in_zoo):
        if os.path.isfile(path):  # Path.is_file raises an error for names that are too long
            return path
    return None
