"""Parse the command line, run the command, and exit with its exit code."""

import contextlib
import functools
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from types import FrameType
from typing import Annotated, Any, Union

import tyro

import srlongtail
from srlongtail import errors
from srlongtail.cli.analysis import (
    attribute,
    claims,
    compare,
    evaluate,
    figures,
    fitting,
    histogram,
    inspect,
    restore,
    tables,
    weights,
)
from srlongtail.cli.demo import demo
from srlongtail.cli.doctor import doctor
from srlongtail.cli.first_steps import first_steps
from srlongtail.cli.losses import losses
from srlongtail.cli.messages import note
from srlongtail.cli.options import NO_FOLDER_OPTIONS
from srlongtail.cli.plain import in_plain_words, plain_help
from srlongtail.cli.report import analyze
from srlongtail.cli.training import ablate, train, zoo
from srlongtail.errors import InputError, InputWarning, suggestion
from srlongtail.models.fast.process import keep_memory

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "figures": figures,
    "tables": tables,
    "evaluate": evaluate,
    "compare": compare,
    "analyze": analyze,
    "claims": claims,
    "doctor": doctor,
    "histogram": histogram,
    "fitting": fitting,
    "weights": weights,
    "attribute": attribute,
    "restore": restore,
    "inspect": inspect,
    "train": train,
    "ablate": ablate,
    "losses": losses,
    "zoo": zoo,
}


_Debug = Annotated[
    bool,
    tyro.conf.FlagCreatePairsOff,
    tyro.conf.arg(help="show the traceback of an error.", help_behavior_hint=""),
]


def main() -> None:
    """Run the command line.

    Exits with 2 and one line after a user's mistake or if memory is short, with 130 after Ctrl-C,
    and with 143 after SIGTERM. With `--debug`, the traceback is printed before that line.
    """
    warnings.showwarning = _show_warning
    keep_memory()
    try:
        with _ended_by_signals():
            _parse(sys.argv[1:])()
    except InputError as error:
        _refuse(error, error)
    except _Ended as ended:
        if ended.number == signal.SIGTERM:
            print("srlongtail: ended by SIGTERM", file=sys.stderr)
        sys.exit(128 + ended.number)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (MemoryError, RuntimeError) as error:
        from srlongtail.device import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        _refuse(InputError(f"memory is short, expected smaller images, or more: {reason}"), error)
    except BrokenPipeError:  # the reader of our output, such as `head`, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


class _Ended(KeyboardInterrupt):
    """Ctrl-C or SIGTERM: ends a command past code that catches every `Exception`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise `_Ended`, so that temporary files are removed.

    Code in C can turn the exception into another one, as pandas does while it reads a table, or
    drop it, as finalizers do. So it is raised again at the end.
    """
    received: list[int] = []
    report = sys.unraisablehook  # prints the traceback of what a finalizer raises

    def report_others(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, _Ended):
            report(dropped)

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise _Ended(number)

    usual: dict[int, Any] = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
    }
    if threading.current_thread() is not threading.main_thread():
        usual = {}
    ours = [number for number, handler in usual.items() if signal.getsignal(number) == handler]
    for number in ours:
        signal.signal(number, end)
    sys.unraisablehook = report_others
    try:
        yield
    except Exception as error:
        if received:
            raise _Ended(received[0]) from error
        raise
    else:
        if received:
            raise _Ended(received[0])
    finally:
        sys.unraisablehook = report
        for number in ours:
            signal.signal(number, usual[number])


def _refuse(error: InputError, cause: BaseException) -> None:
    """Print an error on one line, with `--debug` below the traceback of its cause, and exit."""
    if "--debug" in sys.argv[1:]:
        traceback.print_exception(cause)
    print(f"srlongtail: error: {error.worded(_spelled)}", file=sys.stderr)
    sys.exit(2)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(message.worded(_spelled) if isinstance(message, InputWarning) else str(message))


def _spelled(parameter: errors.Parameter) -> str:
    """Return the option that sets a parameter.

    Not every command that reads images has the options for images.
    """
    command = COMMANDS.get(next(iter(sys.argv[1:]), ""))
    of_images = {f.name for f in fields(NO_FOLDER_OPTIONS)}
    if command is None or parameter.name not in of_images - _options(command):
        return parameter.option
    return f"{parameter} in Python"


def _options(command: Callable[..., None]) -> set[str]:
    """Return the names of a command's options, including those that several commands share."""
    names = set()
    for name, argument in signature(command).parameters.items():
        grouped = is_dataclass(argument.default) and not isinstance(argument.default, type)
        names |= {f.name for f in fields(argument.default)} if grouped else {name}
    return names


def _parse(arguments: list[str]) -> Callable[[], None]:
    """Return the command to run, with its arguments; turn tyro's error box into one line."""
    if not arguments:
        return functools.partial(print, first_steps())
    if arguments == ["--version"]:
        return functools.partial(print, f"srlongtail {srlongtail.__version__}")
    first = arguments[0]
    if not first.startswith("-") and first not in COMMANDS:
        raise InputError(
            f"no command {first}{suggestion(first, COMMANDS)}, expected one of "
            f"{', '.join(COMMANDS)} (srlongtail without a command says what to do first)"
        )
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                _one_of(COMMANDS),
                prog="srlongtail",
                description="See where a super-resolution network fails.",
                args=arguments,
            )
    except SystemExit as error:
        if error.code == 2:
            topic = f"{first} --help" if first in COMMANDS else "--help"
            message = f"{_one_line(box.getvalue())} (see srlongtail {topic})"
            raise InputError(message) from None
        raise


def _one_of(commands: dict[str, Callable[..., None]]) -> Any:
    """Return the type whose parser calls one of the commands.

    It is that of `tyro.extras.subcommand_cli_from_dict`, with a text of its own: without one the
    parser looks for it in the source code of its own classes, a sixth of the time of `--help`.
    """
    choices = tuple(
        Annotated[Any, tyro.conf.subcommand(name, constructor=_deferred(plain_help(command)))]
        for name, command in commands.items()
    )
    return Annotated[Union[choices], tyro.conf.arg(help="command to run")]  # noqa: UP007


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """Return the command with `--debug` added, to be called after all arguments are parsed."""

    @functools.wraps(command)
    def defer(*args: Any, debug: bool = False, **kwargs: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **kwargs)

    known = signature(command)
    option = Parameter("debug", Parameter.KEYWORD_ONLY, default=False, annotation=_Debug)
    own = {
        "__signature__": known.replace(parameters=[*known.parameters.values(), option]),
        "__annotations__": {**command.__annotations__, "debug": _Debug},
    }
    for name, value in own.items():
        setattr(defer, name, value)
    del defer.__wrapped__  # the parser would look there for the options
    return defer


def _one_line(box: str) -> str:
    """Return the first message of tyro's box, below its title, with its suggestion."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines():
        text = line.strip("│╭╮╰╯─ ")
        is_rule = line.strip() and not text.strip("-")
        if is_rule or line.startswith("╭"):
            sections.append([])
        else:
            sections[-1].append(text)
    _title, message, hint, *_ = [*sections, [""]]
    if "" in message:
        message = message[: message.index("")]
    if not hint[0].startswith(("Perhaps", "Available")):
        hint = []
    return in_plain_words(" ".join([*message, *hint[:2]]))
