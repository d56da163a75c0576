"""Help and error messages in plain words instead of those of the parser."""

import re
from collections.abc import Callable
from dataclasses import is_dataclass
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

T = TypeVar("T", bound=Callable[..., Any])

_WORDS = {
    "int": "N",
    "float": "X",
    "str": "TEXT",
    "Path": "PATH",
    "bool": "{True,False}",
    "dict": "KEY VALUE ...",
}

# Message of the parser -> the same in plain words.
_MISTAKES = {
    r"Unrecognized options: (.*?) Available subcommands: (.*)": (
        r"no command \1, expected one of \2"
    ),
    r"Unrecognized options: ([^ ,]*).*? Perhaps you meant: (\S+).*": (
        r"no option \1, did you mean \2?"
    ),
    r"Unrecognized options: (.*)": r"unexpected \1",
    r"Unrecognized or misplaced options: (\S+).*": r"unexpected \1, expected a command first",
    r"invalid choice '?(.*?)'? for argument '(.*?)'\. Expected one of \((.*)\) ?\.": (
        r"\2 \1, expected one of \3"
    ),
    r"Error parsing (\S+): no type matching (.*) could be instantiated from \[(.*)\] ?\.": (
        r"\1 \3, expected \2"
    ),
    r"Missing value for argument '(.*?)' ?\..*": r"\1 without a value, expected one",
    r"Missing from srlongtail (\w+): ([A-Z{-]\S*) .*": r"\1 without \2, expected one",
}
_TYPES = {
    r"\{?INT INT INT\}?": "three whole numbers",
    r"\bINT\b": "a whole number",
    r"\bFLOAT\b": "a number",
    r"\bSTR\b": "text",
    r"\{None\}\||'None', |, 'None'": "",
}


def in_plain_words(message: str) -> str:
    """Return the parser's error message in plain words.

    >>> in_plain_words("Error parsing --scale: no type matching {None}|INT could be instantiated "
    ...                "from ['x'].")
    "--scale 'x', expected a whole number"
    """
    for pattern, words in _MISTAKES.items():
        if re.fullmatch(pattern, message):
            message = re.sub(pattern, words, message)
            for jargon, plain in _TYPES.items():
                message = re.sub(jargon, plain, message)
            return message
    return message


def plain_help(described: T) -> T:
    """Give the options of a command, or of a dataclass of options, plain help texts.

    For an option whose default is None, the help shows neither None nor the Python type: the
    option's own text states the default. A flag is shown without its negation.

    Args:
        described: A function or a dataclass. Its annotations and docstring are changed in place.

    Returns:
        The same object.
    """
    # The parser keeps some line breaks within the text of an option, so join its lines.
    described.__doc__ = re.sub(r"\n {8,}", " ", cleandoc(described.__doc__ or ""))
    hints = get_type_hints(described, include_extras=True)
    described.__annotations__ = {name: _plain(hint) for name, hint in hints.items()}
    return described


def _plain(hint: Any) -> Any:
    choices = [kind for kind in get_args(hint) if kind is not NoneType]
    if hint is bool:
        return Annotated[bool, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(help_behavior_hint="")]
    if get_origin(hint) not in (UnionType, Union) or len(choices) != 1 or is_dataclass(choices[0]):
        return hint
    (kind,) = choices
    if get_origin(kind) is Literal:
        metavar = "{" + ",".join(map(str, get_args(kind))) + "}"
    elif get_origin(kind) is tuple:
        metavar = " ".join("..." if item is ... else _word(item) for item in get_args(kind))
    else:
        metavar = _word(kind)
    return Annotated[hint, tyro.conf.arg(metavar=metavar, help_behavior_hint="")]


def _word(kind: Any) -> str:
    name = getattr(kind, "__name__", str(kind))
    return _WORDS.get(name, name.upper())
