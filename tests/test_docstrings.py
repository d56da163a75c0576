"""Every public thing says what it is, and every example in a docstring runs."""

import doctest
import importlib
import inspect
import pkgutil
import warnings

import pytest

import srlongtail

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(srlongtail.__path__, "srlongtail.")
    if name != "srlongtail.__main__"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        globs = {**vars(module), "torch": importlib.import_module("torch")}
        outcome = doctest.testmod(module, globs=globs, optionflags=doctest.ELLIPSIS)
    assert outcome.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_public_things_have_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for label, thing in vars(module).items():
        of_here = getattr(thing, "__module__", None) == name
        if label.startswith("_") or not of_here:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, f"{name}.{label} has no docstring"
