"""What a command says besides its result: one channel, to stderr."""

import os
import sys


def note(text: str) -> None:
    """Tell the user something that is neither a result nor an error, once for all processes."""
    if os.environ.get("RANK", "0") == "0":  # which torchrun sets
        print(f"srlongtail: note: {text}", file=sys.stderr)


def tell(line: str) -> None:
    """Tell how a long run is going, without breaking its progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
