"""Settings of the documentation: `sphinx-build -W -n docs site`."""

import contextlib
import io
import os
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from sphinx.util import inspect

DOCS = Path(__file__).parent
REPOSITORY = DOCS.parent

# Pages that live elsewhere in the repository. They are copied here, because Sphinx reads one
# folder. Git ignores the copies.
PAGES = ("RESULTS.md", "CHANGELOG.md", "CONTRIBUTING.md", "figures", "notebooks")


def copy_pages() -> None:
    """Copy the pages that live elsewhere; links into docs/ become links to their neighbors."""
    for name in PAGES:
        source, copy = REPOSITORY / name, DOCS / name
        if source.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns(".*", "*.py"))
        else:
            copy.write_text(re.sub(r"\]\(docs/", "](", source.read_text()))


def write_commands() -> None:
    """Write a page with the help of every command."""
    from srlongtail.cli.main import COMMANDS, main

    pages = ["# Commands", "What `srlongtail COMMAND --help` prints."]
    os.environ["COLUMNS"] = "88"
    for command in COMMANDS:
        printed = io.StringIO()
        sys.argv = ["srlongtail", command, "--help"]
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main()
        pages.append(f"## {command}\n\n```text\n{printed.getvalue().strip()}\n```")
    (DOCS / "reference" / "commands.md").write_text("\n\n".join(pages) + "\n")


def write_bench() -> None:
    """Write the verdicts on the losses that ship, as a picture and a table."""
    from srlongtail.plots.style import paper_style
    from srlongtail.studies import losses

    table, gradients, record = losses.read_bench()
    bench = losses.compute(table, gradients, record=record)
    with paper_style():
        losses.draw(bench).savefig(DOCS / "howto" / "bench.png", dpi=200)
    (DOCS / "howto" / "bench.md").write_text(f"{bench.caption()}\n\n{bench.markdown()}")


copy_pages()
write_commands()
write_bench()

project = "srlongtail"
author = "the srlongtail authors"
copyright = "the srlongtail authors, MIT license"
release = version("srlongtail")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["howto/bench.md"]  # a part of another page
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_mime_priority_overrides = [  # widgets need a kernel: their pictures are shown
    ("html", "application/vnd.jupyter.widget-view+json", None)
]
nb_execution_mode = "off"  # the notebooks are shown with the outputs they are stored with

html_theme = "pydata_sphinx_theme"
html_title = f"srlongtail {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = False
html_sidebars = {"gallery/index": []}
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

default_role = "literal"
add_module_names = False
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
nitpick_ignore_regex = [  # types in signatures: those of other packages, and of inner modules
    ("py:class", r".*\..*"),
    ("py:class", r"ArrayLike|(tuple|dict)\[.*"),
    ("py:obj", r"typing\..*"),
]


def plain_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Adapt docstrings, which are written to be read as text, to what Sphinx expects.

    Sphinx takes what stands before a colon in a `Returns:` section, or in the docstring of an
    attribute, for a type, and bars for substitutions.
    """
    section = "Returns" if what in ("attribute", "property", "data") else ""
    for i, line in enumerate(lines):
        if re.fullmatch(r"[A-Z]\w+:", line):
            section = line.removesuffix(":")
        elif section == "Returns" and line.strip():
            indent = len(line) - len(line.lstrip())
            lines[i] = f"{line[:indent]}: {line[indent:]}"
            section = ""
        elif section == "Attributes":
            lines[i] = re.sub(r"^    \w+(, \w+)+:", lambda m: m[0].replace(", ", ","), line)
        parts = re.split(r"(`+[^`]*`+)", lines[i])
        lines[i] = "".join(p if p.startswith("`") else p.replace("|", r"\|") for p in parts)


def short_signature(app, what, name, obj, options, signature, result) -> tuple[str, str]:
    """Write numpy's ArrayLike by its name, and a widget's own arguments instead of traitlets'."""
    if what == "class" and signature and signature.startswith("(*args: t.Any"):
        own = inspect.signature(obj.__init__, bound_method=True)
        signature = inspect.stringify_signature(own, unqualified_typehints=True)
    return tuple(part and ARRAY_LIKE.sub("ArrayLike", part) for part in (signature, result))


ARRAY_LIKE = re.compile(
    r"~numpy\._typing\._array_like\._Buffer \|.*?_NestedSequence\[complex \| bytes \| str\]"
)


def setup(app) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", plain_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", short_signature)
