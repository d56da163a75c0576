"""The gallery: a page with all figures and tables of a folder, their captions and commands."""

import json
from pathlib import Path

from srlongtail.files import replacing

_MARK = "<!-- Written by srlongtail: changes are lost when figures or tables are made again. -->"
FIGURE_TITLES = {
    "fig1": "Figure 1: the long tail",
    "fig3": "Figure 3: a crop side by side",
    "fig4": "Figure 4: the dials of Focal Pixel Learning",
    "fig5": "Figure 5: which pixels the loss attends to",
    "fig6": "Figure 6: which pixels a network draws from",
}
_TITLES = {
    **FIGURE_TITLES,
    "table1": "Table 1: x4",
    "table2": "Table 2: x2",
    "table3": "Table 3: x4 with multiple degradations",
    "table4": "Table 4: BSRN, x4",
}


def write_gallery(folder: Path) -> Path | None:
    """Write `README.md` in a folder of figures and tables.

    Args:
        folder: The folder.

    Returns:
        The page; None if there is a page that was not written by this function, which is kept.

    Example:
        >>> import tempfile
        >>> page = write_gallery(Path(tempfile.mkdtemp()))
        >>> page.read_text().splitlines()[0]
        '# Figures and tables'
    """
    page = folder / "README.md"
    if page.is_file() and _MARK not in page.read_text():
        return None
    sections = [_section(folder, name) for name in _TITLES if (folder / f"{name}.json").is_file()]
    with replacing(page) as temporary:
        temporary.write_text("\n\n".join(["# Figures and tables", _MARK, *sections]) + "\n")
    return page


def _section(folder: Path, name: str) -> str:
    record = json.loads((folder / f"{name}.json").read_text())
    parts = [f"## {_TITLES[name]}"]
    if (folder / f"{name}.png").is_file():
        parts.append(f"![{_TITLES[name]}]({name}.png)")
    table = folder / f"{name}.md"
    if table.is_file():
        parts.append(table.read_text().strip())
    files = [path.name for path in sorted(folder.glob(f"{name}[.-]*")) if path.suffix != ".md"]
    links = ", ".join(f"[{file}]({file})" for file in files)
    return "\n\n".join(
        [*parts, record["caption"], f"Files: {links}. Made by", f"```sh\n{record['command']}\n```"]
    )
