"""The one exception for mistakes that a user can mend, and what may have been meant."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user handed over cannot be used.

    The message is one line that tells what arrived, what was expected and which item was at
    fault. The command line prints it and exits with code 2; in Python it is a `ValueError`.
    """


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` where something known is similar.

    >>> suggestion("fsrcn", ["fsrcnn", "carn"])
    ", did you mean 'fsrcnn'?"
    """
    similar = get_close_matches(word, list(known), n=1)
    return f", did you mean {similar[0]!r}?" if similar else ""
