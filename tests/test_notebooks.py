"""The notebooks: clean as they are stored, and running from top to bottom."""

import copy
import re
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

# Text such as /home/me/photo.png, but neither </div> nor n/a nor an address.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<])/(?:\w[\w.+-]*/)+\w|\b[A-Z]:\\")

NAMES = [path.stem for path in NOTEBOOKS]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)


def texts(notebook: nbformat.NotebookNode) -> list[str]:
    """All that a reader sees as text: sources, what was printed, tables."""
    found = [cell.source for cell in notebook.cells]
    for output in outputs(notebook):
        found.append(output.get("text", ""))
        found += [str(v) for kind, v in output.get("data", {}).items() if "text" in kind]
    return found


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def errors_printed(notebook: nbformat.NotebookNode) -> list[str]:
    return [output.text for output in outputs(notebook) if output.get("name") == "stderr"]


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The cells that draw, once for each picture."""
    return [
        cell.id
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


@each_notebook
def test_stored_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 600_000
    assert notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.metadata for cell in notebook.cells)  # no timings, no editor's state
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for output in outputs(notebook)} <= {
        "stream",
        "display_data",
        "execute_result",
    }
    assert errors_printed(notebook) == []
    assert [ABSOLUTE_PATH.findall(text) for text in texts(notebook)] == [[]] * len(texts(notebook))


@each_notebook
def test_cells_are_short_and_those_of_the_paired_script(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert max(len(source.splitlines()) for source in code) <= 11
    paired = jupytext.read(path.with_suffix(".py"))
    assert [(c.cell_type, c.source) for c in paired.cells] == [
        (c.cell_type, c.source) for c in cells
    ]


@each_notebook
def test_every_code_cell_is_announced(path):
    cells = nbformat.read(path, as_version=4).cells
    kinds = [cell.cell_type for cell in cells]
    assert kinds[0] == "markdown"
    assert all(before == "markdown" for before, kind in pairwise(kinds) if kind == "code")


@pytest.mark.parametrize(
    "path",
    [
        # It trains 18 networks; tests/cli/test_losses.py runs a smaller bench by default.
        pytest.param(path, marks=[pytest.mark.slow] if path.stem == "6_your_own_loss" else [])
        for path in NOTEBOOKS
    ],
    ids=NAMES,
)
def test_notebook_runs(path, tmp_path):
    stored = nbformat.read(path, as_version=4)
    # Outputs may come late on a busy machine; by default late ones are dropped.
    patience = {"timeout": 300, "iopub_timeout": 300, "raise_on_iopub_timeout": True}
    client = NotebookClient(
        copy.deepcopy(stored), resources={"metadata": {"path": str(tmp_path)}}, **patience
    )
    fresh = client.execute()
    assert pictures(fresh) == pictures(stored)
    assert errors_printed(fresh) == []
