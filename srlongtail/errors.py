"""The one exception for mistakes that a user can mend, and what may have been meant."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Parameter:
    """A parameter of the library that an error advises to set; the command line has options.

    Attributes:
        name: as Python has it.
        value: as it is to be set, or a word for it such as "N"; None to name it alone.

    >>> str(Parameter("scale", "N")), Parameter("make_lr", True).option
    ('scale=N', '--make-lr')
    """

    name: str
    value: object = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"

    @property
    def option(self) -> str:
        """The same on the command line; a switch has no value there."""
        option = f"--{self.name.replace('_', '-')}"
        return option if self.value in (None, True) else f"{option} {self.value}"


def on_one_line(text: str) -> str:
    """Return a text with its line breaks and control characters escaped.

    Names of files, and keys inside of them, come from strangers: they may hold line breaks, and
    codes that a terminal would obey.

    Example:
        >>> on_one_line("two\\nlines of \\x1b[31mred")
        'two\\\\nlines of \\\\x1b[31mred'
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


class _Worded:
    """Text with parameters in it, for an error or a warning; see `on_one_line`."""

    def __init__(self, *parts: str | Parameter) -> None:
        parts = tuple(on_one_line(part) if isinstance(part, str) else part for part in parts)
        super().__init__("".join(map(str, parts)))  # type: ignore[call-arg]  # of the exception
        self._parts = parts

    def worded(self, spell: Callable[[Parameter], str]) -> str:
        """Return the message with its parameters spelled by a function."""
        return "".join(p if isinstance(p, str) else spell(p) for p in self._parts)


class InputWarning(_Worded, UserWarning):
    """Something the user handed over is not as it usually is; worded as an `InputError`."""

    def about(self, item: str) -> "InputWarning":
        """Return the same warning with the item that it is about in front."""
        return InputWarning(f"{item}: ", *self._parts)


class InputError(_Worded, ValueError):
    """Something the user handed over cannot be used.

    The message is one line that tells what arrived, what was expected and which item was at
    fault. The command line prints it and exits with code 2; in Python it is a `ValueError`.

    Args:
        parts: texts, and the parameters they advise to set, which the command line calls options.

    >>> error = InputError("net.pth: the scale is unknown, expected ", Parameter("scale", "N"))
    >>> str(error)
    'net.pth: the scale is unknown, expected scale=N'
    >>> error.worded(lambda parameter: parameter.option)
    'net.pth: the scale is unknown, expected --scale N'
    """

    def about(self, item: str) -> "InputError":
        """Return the same error with the item at fault in front."""
        return InputError(f"{item}: ", *self._parts)

    def followed_by(self, *parts: str | Parameter) -> "InputError":
        """Return the same error with more at its end."""
        return InputError(*self._parts, *parts)

    def advising(self, **instead: str) -> "InputError":
        """Return the same error with texts in the place of some parameters.

        Args:
            instead: Name of a parameter -> the text.

        Example:
            >>> error = InputError("no LR images; ", Parameter("make_lr", True), " makes them")
            >>> str(error.advising(make_lr="the path of the HR folder"))
            'no LR images; the path of the HR folder makes them'
        """
        parts = (p if isinstance(p, str) else instead.get(p.name, p) for p in self._parts)
        return InputError(*parts)

    def as_warning(self) -> InputWarning:
        """Return a warning that says the same."""
        return InputWarning(*self._parts)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` where something known is similar.

    >>> suggestion("fsrcn", ["fsrcnn", "carn"])
    ", did you mean 'fsrcnn'?"
    """
    similar = get_close_matches(word, list(known), n=1)
    return f", did you mean {similar[0]!r}?" if similar else ""


def with_article(noun: str) -> str:
    """Return a noun, such as the name of a type, with "a" or "an" in front.

    Example:
        >>> with_article("int"), with_article("dict")
        ('an int', 'a dict')
    """
    return f"{'an' if noun[:1].lower() in ('a', 'e', 'i', 'o') else 'a'} {noun}"
