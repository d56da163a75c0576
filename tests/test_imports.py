"""Imports run one way, and the package is light to import."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import srlongtail

PACKAGE = Path(srlongtail.__file__).parent

# What each part of the package may import from the others, from the bottom up.
BASE = {"errors", "files", "parallel", "stats", "geometry", "device", "image"}
MODELS = {"models", "focal", "losses", "metrics"}
RECORDS = {"results", "provenance"}  # tables and records that any result is written as
ANALYSIS = {"restoration", "evaluation", "longtail", "attribution", "training"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "parallel": {"errors"},
    "stats": {"errors"},
    "geometry": {"errors"},
    "device": {"errors"},
    "results": {"errors", "files"},
    "image": {"errors", "files", "geometry"},
    "models": BASE,
    "focal": BASE,
    "losses": BASE | {"models", "focal", "metrics"},
    "metrics": BASE,
    "provenance": BASE | MODELS | {"version"},
    "restoration": BASE | MODELS,
    "evaluation": BASE | MODELS | {"restoration"},
    "longtail": BASE,  # takes tensors and callables
    "attribution": BASE | {"longtail"},
    "training": BASE | MODELS | {"evaluation", "longtail"} | RECORDS,
    "ablation": BASE | MODELS | ANALYSIS | RECORDS,
    "plots": BASE | MODELS | ANALYSIS,
    "widgets": BASE | MODELS | ANALYSIS,
    "studies": BASE | MODELS | ANALYSIS | RECORDS | {"ablation", "plots", "widgets"},
    "paper": BASE | MODELS | ANALYSIS | RECORDS | {"ablation", "plots", "studies"},
    "diagnosis": BASE | MODELS | ANALYSIS | RECORDS | {"ablation", "plots", "widgets", "studies"},
}


def imports_of(path: Path) -> set[str]:
    """The parts of the package that a file imports, inside functions too."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        parts |= {m.split(".")[1] for m in modules if m.startswith("srlongtail.")}
    return {"version" if part == "__version__" else part for part in parts}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_arrows():
    for path in PACKAGE.rglob("*.py"):
        part = part_of(path)
        if part not in ("cli", "__init__"):  # which may import anything
            forbidden = imports_of(path) - ALLOWED[part] - {part}
            assert not forbidden, f"{path.relative_to(PACKAGE)} imports {sorted(forbidden)}"


def test_no_circle_between_the_parts():
    graph = {
        part: set().union(*(imports_of(p) for p in PACKAGE.rglob("*.py") if part_of(p) == part))
        - {part, "version"}
        for part in {part_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_plots_take_results_and_never_a_network():
    for path in (PACKAGE / "plots").glob("*.py"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {"SRModel", "load_model", "read_image", "open_data", "Path"}, path


def imported_by(*command: str | Path) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in run.stderr.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize(
    "command",
    [("-c", "import srlongtail"), ("-m", "srlongtail.cli", "--help"), ("-m", "srlongtail.cli")],
)
def test_importing_and_asking_for_help_is_light(command):
    heavy = {"torch", "matplotlib", "captum", "pandas", "skimage", "scipy", "anywidget"}
    assert not imported_by(*command) & heavy


def test_figures_that_are_up_to_date_are_found_without_heavy_modules(tmp_path):
    command = ("-m", "srlongtail.cli", "figures", "--only", "fig4", "--out", tmp_path)
    assert {"torch", "pandas"} <= imported_by(*command)
    assert not imported_by(*command) & {"torch", "captum", "pandas", "scipy", "seaborn", "skimage"}


def test_what_is_slow_to_import_and_seldom_used_is_imported_late():
    code = "import sys, srlongtail.paper.build, srlongtail.studies.comparison; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"scipy.stats", "scipy.signal", "seaborn", "skimage"} & set(run.stdout.split())


def test_every_public_name_is_there():
    for name in srlongtail.__all__:
        assert getattr(srlongtail, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = srlongtail.nonsense
