"""Modules named in text: a name of a catalog, or `module:callable`, with literal arguments.

Networks and losses are named like this. Arguments are parsed and never evaluated. Importing a
module runs its code, so a name from a file that a stranger may have written needs consent; see
`Call.import_and_call`.
"""

import ast
import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import nn

from srlongtail.errors import InputError, Parameter, suggestion, with_article
from srlongtail.models.catalog import CATALOG, FewWeights, build, check_arguments
from srlongtail.models.diagnose_call import explained

_FORM = re.compile(r"\s*([A-Za-z_][\w.-]*(?::[A-Za-z_][\w.]*)?)\s*(\(.*\))?\s*", re.DOTALL)

AnyCall = TypeVar("AnyCall", bound="Call")


@dataclass(frozen=True)
class Call:
    """A module to make.

    Attributes:
        target: Name in the catalog, or `module:callable`.
        positional: Positional arguments.
        named: Arguments by name.
        kind: What is made, in a word.
        names: The catalog.
    """

    target: str
    positional: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = "module"
    names: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def parse(cls: type[AnyCall], text: str) -> AnyCall:
        """Parse `NAME`, `NAME(literals)`, `module:callable` or `module:callable(literals)`.

        Raises:
            InputError: The text has none of these forms, the name is unknown, or an argument is not
                a literal.
        """
        label = f"{cls.kind} {text!r}"
        form = _FORM.fullmatch(text)
        if form is None:
            raise InputError(f"{label}: expected module:callable or a name, (arguments)")
        target, arguments = form.groups()
        if ":" not in target and target not in cls.names:
            hint = suggestion(target.lower(), cls.names)
            if target.endswith(".py"):
                hint = f", did you mean {target.removesuffix('.py')}:NAME?"
            raise InputError(
                f"{label}: unknown name{hint}, expected module:callable or one of "
                f"{', '.join(cls.names)}"
            )
        return cls(target, *_literals(arguments or "()", label))

    @property
    def in_catalog(self) -> bool:
        """Whether the target is a name in the catalog."""
        return ":" not in self.target

    def __str__(self) -> str:
        arguments = [repr(value) for value in self.positional]
        arguments += [f"{key}={value!r}" for key, value in self.named.items()]
        return f"{self.target}({', '.join(arguments)})" if arguments else self.target

    def import_and_call(self, *, trusted: bool = True, folder: Path | None = None) -> nn.Module:
        """Make the module that `module:callable` names.

        The Python module is imported, which runs its code, and the callable is called. If the name
        is not trusted, the Python module must be installed or lie in a folder of `PYTHONPATH`: a
        file in the current folder, or in `folder`, is not imported, because a stranger may have put
        it there together with the name. The callable must then be a subclass of `nn.Module`; no
        other function is called. The code that an installed package runs when it is imported, or
        when its class is instantiated, is not restricted.

        Args:
            trusted: Whether the user gave the name, rather than a file.
            folder: Folder of the file that gave the name.

        Raises:
            InputError: The module cannot be imported or made, is not an `nn.Module`, or needs
                consent.
        """
        found = self._find(trusted, folder)
        if not trusted and not (isinstance(found, type) and issubclass(found, nn.Module)):
            raise InputError(
                f"{self.kind} {self}: comes from a file and is not a subclass of torch.nn.Module; "
                f"expected one, or, if you trust the file, ",
                Parameter("allow_code", True),
            )
        doing = f"{self.kind} {self}: cannot be built"
        with explained(doing), contextlib.nullcontext() if trusted else FewWeights(doing):
            made = found(*self.positional, **self.named)
        if not isinstance(made, nn.Module):
            what = with_article(type(made).__name__)
            raise InputError(f"{self.kind} {self}: made {what}, expected a torch nn.Module")
        return made

    def _find(self, trusted: bool, folder: Path | None) -> Any:
        module_name, _, attribute = self.target.partition(":")
        if not trusted and module_name.partition(".")[0] in sys.stdlib_module_names:
            # None of these has networks, and importing some of them does things (antigravity).
            raise InputError(
                f"{self.kind} {self}: comes from a file and is not a subclass of torch.nn.Module, "
                f"as nothing in Python's own library is"
            )
        hidden = {Path.cwd(), folder or Path.cwd()}
        with explained(f"{self.kind} {self}: cannot be imported"):
            try:
                with _current_folder() if trusted else _without(hidden):
                    found: Any = importlib.import_module(module_name)
            except ModuleNotFoundError as error:
                if error.name != module_name:
                    raise
                if trusted:
                    raise InputError(f"{self.kind} {self}: cannot be imported: {error}") from error
                raise InputError(
                    f"{self.kind} {self}: comes from a file, and its module is not installed; a "
                    f"module of the current folder is imported only with ",
                    Parameter("allow_code", True),
                ) from error
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise InputError(f"{self.kind} {self}: {module_name} has no attribute {part!r}")
            found = getattr(found, part)
        return found


@dataclass(frozen=True)
class NetworkCall(Call):
    """A network to build.

    Example:
        >>> NetworkCall.parse("nets:make(32, depth=4)")
        NetworkCall(target='nets:make', positional=(32,), named={'depth': 4})
    """

    kind = "network"
    names = CATALOG

    def catalog_arguments(self) -> dict[str, Any]:
        """Return all arguments of a network of the catalog by name.

        Raises:
            InputError: The network has no such argument, or an argument is given twice.
        """
        check_arguments(self.target, self.named)
        try:
            bound = signature(CATALOG[self.target].network).bind_partial(
                *self.positional, **self.named
            )
        except TypeError as error:
            raise InputError(f"network {self}: {error}") from error
        return dict(bound.arguments)

    def make(self, *, trusted: bool = True, folder: Path | None = None) -> nn.Module:
        """Build the network.

        Args:
            trusted: Whether the user gave the name; see `import_and_call`.
            folder: Folder of the file that gave the name.

        Raises:
            InputError: The network cannot be built, or needs consent.
        """
        if self.in_catalog:
            return build(self.target, **self.catalog_arguments())
        return self.import_and_call(trusted=trusted, folder=folder)


def _literals(arguments: str, label: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the named arguments of a call, which must be literals."""
    try:
        call = ast.parse(f"call{arguments}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"{label}: arguments that cannot be parsed") from error
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise InputError(f"{label}: expected one pair of parentheses with arguments")
    if any(keyword.arg is None for keyword in call.keywords):
        raise InputError(f"{label}: expected arguments one by one, not as **")
    try:
        return (
            tuple(map(ast.literal_eval, call.args)),
            {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords},
        )
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise InputError(
            f"{label}: an argument is not a literal, expected numbers, text in quotes, "
            f"True, False, None, or lists, tuples or dicts of these"
        ) from error


@contextlib.contextmanager
def _current_folder() -> Iterator[None]:
    """Make the current folder importable; it stays so, as in a Python shell."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    yield


@contextlib.contextmanager
def _without(folders: set[Path]) -> Iterator[None]:
    """Import nothing that lies in these folders."""
    hidden = {folder.resolve() for folder in folders}
    before = list(sys.path)
    sys.path[:] = [entry for entry in before if Path(entry).resolve() not in hidden]
    try:
        yield
    finally:
        sys.path[:] = before
