"""Messages of the commands besides their results: all go to stderr."""

import os
import sys


def note(text: str) -> None:
    """Print a message that is neither a result nor an error, from one process only."""
    if os.environ.get("RANK", "0") == "0":  # set by torchrun
        print(f"srlongtail: note: {text}", file=sys.stderr)


def tell(line: str) -> None:
    """Print the progress of a long run without breaking its progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)
