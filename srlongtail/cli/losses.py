"""The command `losses`: which losses differ from L1, by the tables of `ablate losses`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from srlongtail.cli.messages import note
from srlongtail.errors import InputError

if TYPE_CHECKING:
    from srlongtail.ablation.joining import LossBench

Tables = Annotated[
    Positional[tuple[Path, ...]], tyro.conf.arg(metavar="TABLE...", help_behavior_hint="")
]


def losses(
    tables: Tables = (),
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
        tables: losses.csv of 'srlongtail ablate losses', or its folder; several with other seeds
            each are joined; default: the bench that ships.
        dataset: data set of the table; default: held-out, or the first one.
        iterations: length of the runs to compare; default: the shortest of several losses.
        out: folder to write losses-verdicts.png, .pdf, .csv, .json and .md to, and
            losses-verdicts-seeds.csv; of several tables, also losses.csv and what goes with it.
    """
    from srlongtail.ablation.joining import join_benches
    from srlongtail.studies.losses import BENCH, load_bench

    benches = [load_bench(table) for table in tables or (BENCH,)]
    if len(benches) == 1:
        show_losses(benches[0], out, dataset, iterations)
        return
    joined = replace(join_benches(benches), name=str(out / "losses.csv"))
    _write_bench(joined, [bench.name for bench in benches])
    show_losses(joined, out, dataset, iterations)


def _write_bench(bench: "LossBench", sources: Sequence[str]) -> None:
    """Write a joined bench as `ablate losses` writes one, beside none of its sources."""
    from srlongtail.provenance import command_line
    from srlongtail.results import write_record, write_table

    path = Path(bench.name)
    for source in sources:
        if path.resolve() == Path(source).resolve():
            raise InputError(
                f"--out {path.parent}: {path.name} there is one of the tables, expected another "
                f"folder"
            )
    write_table(path, bench.scores)
    write_table(path.with_name(f"{path.stem}-gradients.csv"), bench.gradients)
    write_record(path.with_suffix(".json"), {**bench.record, "command": command_line()})


def show_losses(
    bench: "LossBench", out: Path, dataset: str | None = None, iterations: int | None = None
) -> None:
    """Write the verdicts on a bench of losses, and print them."""
    from srlongtail.files import replacing
    from srlongtail.results import write_table
    from srlongtail.studies import losses as study
    from srlongtail.studies.writing import write_result

    record = bench.record
    result = study.compute(
        bench.scores, bench.gradients, record=record, dataset=dataset, iterations=iterations
    )
    stem = out / "losses-verdicts"
    settings = {"table": Path(bench.name).name, "bench": record.get("settings", {})}
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
