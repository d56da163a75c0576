"""What a command says besides its result: one channel, to stderr."""

import re
import sys

_PARAMETER = re.compile(r"\b([a-z][a-z_]*)=(True|[A-Z]+)\b")


def as_options(text: str) -> str:
    """What the library says about its parameters, in options of the command line.

    >>> as_options("lr_dir=DIR names them, make_lr=True makes LR from HR")
    '--lr-dir DIR names them, --make-lr makes LR from HR'
    """

    def option(found: re.Match[str]) -> str:
        name = "--" + found[1].replace("_", "-")
        return name if found[2] == "True" else f"{name} {found[2]}"

    return _PARAMETER.sub(option, text)


def note(text: str) -> None:
    """Tell the user something that is neither a result nor an error."""
    print(f"srlongtail: note: {as_options(text)}", file=sys.stderr)


def tell(line: str) -> None:
    """Tell how a long run is going, without breaking its progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
