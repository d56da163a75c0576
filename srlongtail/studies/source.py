"""Hash the source code that a computation depends on, so that its results can be reused."""

import ast
import copy
import hashlib
from collections.abc import Set
from functools import cache
from pathlib import Path

import srlongtail

_ROOT = Path(srlongtail.__file__).parents[1]
_DRAW = ("srlongtail.studies.", "srlongtail.paper.")  # modules that draw what they compute


@cache
def source_sha256(*modules: str, entry: str = "compute", root: Path = _ROOT) -> str:
    """Return a hash of the source code that modules of this package compute with.

    Imports inside the package are followed. Studies and the paper's figures also draw and describe
    what they compute; of them, only the code that `entry` mentions counts, and what that mentions
    in turn. Captions and drawings may therefore change without invalidating results. Of all other
    modules, the whole file counts.

    Args:
        modules: Dotted names.
        entry: Function of a study or figure that computes.
        root: Folder that holds the package.

    Example:
        >>> source_sha256("srlongtail.stats") == source_sha256("srlongtail.metrics")
        False
    """
    found, names = set(modules), {entry}
    grown = True
    while grown:
        before = len(found), len(names)
        for module in sorted(found):
            draws = module.startswith(_DRAW)
            if draws:
                names |= _mentioned(_used(_tree(root, module), names))
            found |= {
                target for name, target in _imports(root, module) if not draws or name in names
            }
        grown = before != (len(found), len(names))
    digest = hashlib.sha256()
    for module in sorted(found):
        draws = module.startswith(_DRAW)
        tree = _tree(root, module)
        source = ast.unparse(_used(tree, names)) if draws else _path(root, module).read_text()
        digest.update(f"{module}\n{source}\n".encode())
    return digest.hexdigest()


def _path(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _tree(root: Path, module: str) -> ast.Module:
    return ast.parse(_path(root, module).read_text())


@cache
def _imports(root: Path, module: str) -> list[tuple[str, str]]:
    """Return name -> module for all imports from the package, also those inside functions."""
    found = []
    for node in ast.walk(_tree(root, module)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("srlongtail."):
            for alias in node.names:
                itself = f"{node.module}.{alias.name}"
                target = itself if _path(root, itself).is_file() else f"{node.module}"
                if target != "srlongtail" and not target.startswith("srlongtail.plots."):
                    found.append((alias.asname or alias.name, target))
    return found


def _used(tree: ast.Module, names: Set[str]) -> ast.Module:
    """Return the definitions of a module, and the methods of its classes, with one of the names."""
    body: list[ast.stmt] = []
    for node in tree.body:
        if names & _defined(node):
            if isinstance(node, ast.ClassDef):
                node = copy.copy(node)
                node.body = [
                    part
                    for part in node.body
                    if not isinstance(part, ast.FunctionDef)
                    or part.name in names
                    or part.name.startswith("__")
                ]
            body.append(node)
    return ast.Module(body, [])


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines, other than by an import."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    return {
        n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }


def _mentioned(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}
