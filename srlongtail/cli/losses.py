"""The command `losses`: which losses differ from L1, by the tables of `ablate losses`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from srlongtail.cli.messages import note

Table = Annotated[Positional[Path | None], tyro.conf.arg(metavar="TABLE", help_behavior_hint="")]


def losses(
    table: Table = None,
    /,
    *,
    dataset: str | None = None,
    iterations: int | None = None,
    out: Path = Path("."),
) -> None:
    """Show which losses differ from L1: where error moves, and PSNR.

    Writes losses-verdicts as a picture, a CSV and a Markdown table, with the differences of every
    seed and the record.

    Args:
        table: losses.csv of 'srlongtail ablate losses', or its folder; default: the bench that
            ships.
        dataset: data set of the table; default: held-out, or the first one.
        iterations: length of the runs to compare; default: the shortest.
        out: folder to write losses-verdicts.png, .pdf, .csv, .json and .md to, and
            losses-verdicts-seeds.csv.
    """
    from srlongtail.studies.losses import BENCH

    show_losses(table or BENCH, out, dataset, iterations)


def show_losses(
    table: Path, out: Path, dataset: str | None = None, iterations: int | None = None
) -> None:
    """Write the verdicts on a bench of losses, and print them."""
    from srlongtail.files import replacing
    from srlongtail.results import write_table
    from srlongtail.studies import losses as study
    from srlongtail.studies.writing import write_result

    scores, gradients, record = study.read_bench(table)
    result = study.compute(scores, gradients, record=record, dataset=dataset, iterations=iterations)
    stem = out / "losses-verdicts"
    settings = {"table": table.name, "bench": record.get("settings", {})}
    kept = {"command": record.get("command", ""), "training": "", "settings": settings}
    picture = write_result(stem, study.draw, result, kept)
    write_table(stem.with_name(f"{stem.name}-seeds.csv"), result.differences)
    with replacing(stem.with_suffix(".md")) as temporary:
        temporary.write_text(result.markdown(), encoding="utf-8")
    columns = ["title", "control", "seeds", "psnr_db", "psnr_verdict", "head", "tail", "moves"]
    print(result.verdicts[columns].round(4).to_string(index=False))
    print(f"{result.message()}, on {result.dataset} after {result.iterations:,} iterations.")
    if left := result.incomplete():
        note(left)
    print(picture)
