"""Tables in the paper's layout: one line per network, two columns per data set."""

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from srlongtail.paper.tables import INTERVALS, METRICS, PaperTable

_HEADERS = {"psnr_db": "PSNR (dB)", "ssim": "SSIM"}
_INTERVAL = f"{100 * INTERVALS['confidence']:.0f}% interval"
_DIGITS = {"psnr_db": 2, "ssim": 4}


def layout(table: PaperTable) -> pd.DataFrame:
    """Return the texts of a table in the paper's order: each network, its numbers, and its gains.

    Args:
        table: The table.

    Returns:
        Texts; columns are pairs of a data set (empty for the two that describe a line) and a
        metric.
    """
    frame = table.frame()
    lines = []
    for (_, title, is_gain), rows in frame.groupby(["model", "title", "is_gain"], sort=False):
        cells = rows.set_index("dataset")
        kinds = {"ours": ""}
        if is_gain:
            kinds[_INTERVAL] = "interval"
        if rows["psnr_db_published"].notna().any():
            kinds["paper"] = "_published"
            kinds["difference"] = "_difference"
        for number, (kind, suffix) in enumerate(kinds.items()):
            texts = [
                _text(cells.loc[dataset], metric, suffix, signed=bool(is_gain))
                for dataset in table.datasets
                for metric in METRICS
            ]
            lines.append([title if number == 0 else "", kind, *texts])
    columns = [("", "network"), ("", "numbers")]
    columns += [(dataset, _HEADERS[metric]) for dataset in table.datasets for metric in METRICS]
    return pd.DataFrame(lines, columns=pd.MultiIndex.from_tuples(columns))


def markdown(texts: pd.DataFrame) -> str:
    """Return a Markdown table with aligned columns.

    Args:
        texts: Result of `layout`.

    Example:
        >>> texts = pd.DataFrame([["a", "1.00"]], columns=[("", "network"), ("Set5", "SSIM")])
        >>> print(markdown(texts))
        | network | Set5 SSIM |
        | ------- | --------- |
        | a       |      1.00 |
    """
    header = [" ".join(column).strip() for column in texts.columns]
    rows = [header, *texts.to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(["-" * width for width in widths], widths))
    return "\n".join(lines)


def latex(texts: pd.DataFrame, notes: Sequence[str] = ()) -> str:
    """Return a LaTeX tabular with the rules of the package booktabs.

    Args:
        texts: Result of `layout`.
        notes: Sentences for the small print below the table.
    """
    words = sum(not dataset for dataset, _ in texts.columns)
    style = texts.style.hide(axis="index").format(escape="latex")
    table = style.format_index(escape="latex", axis="columns").to_latex(
        hrules=True, multicol_align="c", column_format="l" * words + "r" * (texts.shape[1] - words)
    )
    if not notes:
        return table
    return f"{table}\n{{\\footnotesize\\raggedright {_escaped(' '.join(notes))}\\par}}\n"


def _escaped(text: str) -> str:
    """Return a text escaped as pandas escapes it in the cells of a table."""
    cell = pd.DataFrame([[text]]).style.hide(axis="index").hide(axis="columns")
    return cell.format(escape="latex").to_latex().splitlines()[1].removesuffix(" \\\\")


def _text(cells: Any, metric: str, suffix: str, *, signed: bool) -> str:
    digits = _DIGITS[metric]
    if suffix == "interval":
        low, high = (cells[f"{metric}_{end}"] for end in ("low", "high"))
        return (
            "" if pd.isna(low) else f"{_number(low, digits, True)} to {_number(high, digits, True)}"
        )
    value = cells[f"{metric}{suffix}"]
    return "" if pd.isna(value) else _number(value, digits, signed or suffix == "_difference")


def _number(value: float, digits: int, signed: bool) -> str:
    rounded = round(value, digits) + 0.0  # no minus before zero
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}"


def _line(cells: Sequence[str], widths: Iterable[int]) -> str:
    padded = [
        cell.rjust(width) if cell[:1] in "+-0123456789" else cell.ljust(width)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return f"| {' | '.join(padded)} |"
