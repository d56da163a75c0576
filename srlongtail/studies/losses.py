"""Whether losses mend the tail: verdicts on a bench of losses, as a picture and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.ablation.joining import LossBench, join_benches
from srlongtail.ablation.losses import COLUMNS, GRADIENT_COLUMNS, HELD_OUT_NAME, NAME
from srlongtail.ablation.noise import CONFIDENCE
from srlongtail.ablation.verdicts import (
    CONTROL,
    EFFECT,
    MARGINS,
    MEASURES,
    NOISIER,
    PERTURBED,
    SMALL_EFFECT,
    FalsePositives,
    false_positives,
    loss_verdicts,
    paired_effects,
    runs_of,
    with_time,
)
from srlongtail.errors import InputError
from srlongtail.losses.catalog import LOSSES
from srlongtail.models.find import ZOO
from srlongtail.plots.losses import add_psnr_colorbar, plot_head_and_tail, plot_psnr, psnr_norm
from srlongtail.plots.style import PAGE, letter
from srlongtail.results import read_record, read_table
from srlongtail.studies.writing import listed

BENCH = ZOO / "losses.csv"
"""The bench that ships: every loss of the catalog, with FSRCNN x4."""

_RANKINGS = {"gradient": "by the gradient of HR", "bicubic_ad": "by bicubic's AD"}


@dataclass(frozen=True)
class LossStudy:
    """What losses do to head, tail and PSNR, beside L1 with the same skip, seeds and patches.

    Attributes:
        dataset: What was measured on.
        iterations: Of the runs compared.
        verdicts: One row per loss, in order of its change in PSNR: `number, loss, title, control`
            and the columns of `loss_verdicts` and `with_time`.
        differences: One row per loss and seed: `loss, seed` and the differences from L1.
        false_positives: Of the rules; None without enough pairs of L1 and perturbed L1.
        record: Of the bench, if there is one: how the runs were made, and what is complete.
    """

    dataset: str
    iterations: int
    verdicts: pd.DataFrame
    differences: pd.DataFrame
    false_positives: FalsePositives | None
    record: Mapping[str, Any] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """Return one row per loss."""
        return self.verdicts

    def settings(self) -> dict[str, Any]:
        """Return what was compared, and by which rules."""
        return {
            "dataset": self.dataset,
            "iterations": self.iterations,
            "control": CONTROL,
            "confidence": CONFIDENCE,
            "margins": MARGINS,
            "noisier_level": NOISIER,
            "own_variance": dict(
                self.verdicts.loc[
                    self.verdicts["own_variance"] != "", ["loss", "own_variance"]
                ].to_numpy()
            ),
        }

    def message(self) -> str:
        """Return what came out, in a line."""
        proposed = self.verdicts[~self.verdicts["control"]]
        seen = proposed["psnr_verdict"].isin([EFFECT, SMALL_EFFECT])
        gain = proposed[seen & (proposed["psnr_db"] > 0)]
        small = (gain["psnr_verdict"] == SMALL_EFFECT).sum()
        moved = proposed["moves"].str.startswith("tail to head")
        slightly = proposed["moves"].str.endswith("below the margin")
        return (
            f"Against L1, PSNR rises with {len(gain)} of {len(proposed)} losses"
            f"{_below(small, MARGINS['psnr_db'], 'dB')}, and error moves from the tail to the head "
            f"with {moved.sum()}{_below((moved & slightly).sum(), MARGINS['levels'], 'levels')}"
        )

    def caption(self) -> str:
        """Return what the figure shows, and how far it can be trusted."""
        seeds = self.verdicts["seeds"]
        count = f"{seeds.min()} to {seeds.max()}" if seeds.nunique() > 1 else f"{seeds.iloc[0]}"
        incomplete = self.incomplete()
        left = f" {incomplete}." if incomplete else ""
        return (
            f"{self.message()}, after {self.iterations:,} iterations{self._network()}, on "
            f"{self.dataset}. All runs predict the residual over bicubic and share, seed by seed, "
            f"initial weights and patches with L1. (a, b) Change in the error of the head (five "
            f"easiest tenths of the pixels) and of the tail (hardest tenth), ranked by the "
            f"gradient of HR and by bicubic's AD; small marks are seeds ({count} a loss), squares "
            f"are controls; the box is the margin of {MARGINS['levels']:g} levels, inside of which "
            f"losses bear no number. (c) Change in PSNR; gray is the margin of "
            f"{MARGINS['psnr_db']:g} dB. Intervals of {CONFIDENCE:.0%} hold for all losses at once "
            f"(Dunnett; one variance for all losses). {self._noisier()}They are over seeds, for "
            f"these images. {self._single()}{self._false_positives()}{left}"
        )

    def incomplete(self) -> str:
        """Return which runs of the bench are still to be made; empty where all are done."""
        complete = self.record.get("complete", [])
        done, all_runs = (sum(len(row[k]) for row in complete) for k in ("done", "planned"))
        return f"{done} of {all_runs} planned runs are done" if done < all_runs else ""

    def markdown(self) -> str:
        """Return the verdicts as a table in Markdown."""
        header = (
            "| # | loss | seeds | PSNR (dB) | PSNR | head | tail | error moves | time | "
            "gain at equal time (dB) | L1 iterations for it |"
        )
        lines = [header, f"| {' | '.join(['---'] * 11)} |"]
        for row in self.verdicts.to_dict("records"):
            name = row["title"] + (" (control)" if row["control"] else "")
            interval = _cell(row["psnr_db_low"], f" [{{:+.3f}}, {row['psnr_db_high']:+.3f}]")
            cells = (
                row["number"],
                name,
                row["seeds"],
                f"{row['psnr_db']:+.3f}{interval}",
                row["psnr_verdict"],
                row["head"],
                row["tail"],
                row["moves"],
                _cell(row["time_ratio"], "x{:.2f}"),
                _cell(row["gain_at_equal_time_db"], "{:+.3f}"),
                _cell(row["l1_iterations"], "x{:.2f}"),
            )
            lines.append(f"| {' | '.join(map(str, cells))} |")
        return "\n".join(lines) + "\n"

    def _network(self) -> str:
        recipe = self.record.get("settings", {}).get("recipe")
        data = self.record.get("training", {}).get("data")
        if not recipe or not data:
            return ""
        return f" of {recipe['network']} x{recipe['scale']} on {data['images']} images"

    def _noisier(self) -> str:
        """Return which losses have intervals of their own variance, in a sentence."""
        noisier = self.verdicts[self.verdicts["own_variance"] != ""]
        if noisier.empty:
            return ""
        names = listed([f"{row.title} ({row.own_variance})" for row in noisier.itertuples()])
        return (
            f"For {names}, runs vary more than for the other losses (F test, {NOISIER:.0%}), or "
            f"those of L1 do, so these intervals use the loss's own variance (paired t, "
            f"Bonferroni). "
        )

    def _single(self) -> str:
        """Return which losses have one seed, where others have several, in a sentence."""
        single = self.verdicts[self.verdicts["seeds"] == 1]
        if single.empty or len(single) == len(self.verdicts):
            return ""
        return f"No intervals for losses with one seed ({listed(single['title'].tolist())}). "

    def _false_positives(self) -> str:
        found = self.false_positives
        if found is None:
            return "There are too few pairs of L1 and perturbed L1 to count false positives."
        return (
            f"False positives: in {found.draws:,} draws of {found.seeds} of the {found.pairs} "
            f"pairs of L1 and perturbed L1, with random signs, the rules see a change in PSNR in "
            f"{found.psnr:,} and moving error in {found.moves:,}."
        )


def compute(
    table: pd.DataFrame,
    gradients: pd.DataFrame,
    *,
    record: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    iterations: int | None = None,
) -> LossStudy:
    """Compare the losses of a bench on one data set.

    Args:
        table, gradients: See `run_losses`.
        record: Of the bench.
        dataset: Name of a data set; the images held out where they were measured, else the first.
        iterations: Of the runs to compare; by default the fewest for which L1 and another loss ran.

    Raises:
        InputError: No such data set or length, or no loss to compare with L1.
    """
    known = list(table["dataset"].unique())
    dataset = dataset or (HELD_OUT_NAME if HELD_OUT_NAME in known else known[0])
    if dataset not in known:
        raise InputError(f"no scores on {dataset!r}, expected one of {', '.join(known)}")
    all_runs = runs_of(table[table["dataset"] == dataset])
    iterations = _length(all_runs, iterations)
    runs = all_runs[all_runs["iterations"] == iterations].reset_index(drop=True)
    effects = paired_effects(runs)
    timed = gradients[gradients["iterations"] == iterations]
    time_ratios = timed.groupby("loss")["time_ratio"].median()
    verdicts = with_time(loss_verdicts(effects), all_runs, time_ratios, iterations)
    verdicts = verdicts.sort_values("psnr_db", ascending=False, ignore_index=True)
    verdicts.insert(0, "number", range(1, len(verdicts) + 1))
    verdicts.insert(2, "title", [_title(loss) for loss in verdicts["loss"]])
    verdicts.insert(3, "control", [_is_control(loss) for loss in verdicts["loss"]])
    return LossStudy(
        dataset,
        iterations,
        verdicts,
        _differences(runs),
        false_positives(runs, effects),
        record or {},
    )


def read_bench(
    path: Path = BENCH, *more: Path
) -> tuple[pd.DataFrame, pd.DataFrame, Mapping[str, Any]]:
    """Return the two tables and the record of a bench, or of several as one.

    Args:
        path: Of `losses.csv`, or of its folder; the others lie beside it. By default the bench that
            ships.
        more: Of benches with other seeds, such as those of other machines.

    Raises:
        InputError: A file is not there, or is not such a table; or see `join_benches`.

    Example:
        >>> table, gradients, record = read_bench()
        >>> study = compute(table, gradients, record=record)
        >>> study.dataset, study.iterations
        ('held-out', 4000)
    """
    joined = join_benches([load_bench(each) for each in (path, *more)])
    return joined.scores, joined.gradients, joined.record


def load_bench(path: Path = BENCH) -> LossBench:
    """Return a bench from its files; see `read_bench`."""
    path = path / f"{NAME}.csv" if path.is_dir() else path
    beside = path.with_name(f"{path.stem}-gradients.csv")
    record = path.with_suffix(".json")
    return LossBench(
        str(path),
        _read(path, COLUMNS),
        _read(beside, GRADIENT_COLUMNS),
        read_record(record) if record.is_file() else {},
    )


def draw(result: LossStudy) -> Figure:
    """Draw head against tail by both rankings, and PSNR by loss, at page width."""
    rows = len(result.verdicts)
    figure = Figure(figsize=(PAGE, max(2.8, 1.2 + 0.15 * rows)))
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.1))
    norm = psnr_norm(result.verdicts)
    for index, (ranking, text) in enumerate(_RANKINGS.items()):
        plot_head_and_tail(
            result.verdicts,
            result.differences,
            axes[index],
            ranking=ranking,
            norm=norm,
            margin=MARGINS["levels"],
        )
        letter(axes[index], index, text)
    plot_psnr(result.verdicts, result.differences, axes[2], norm=norm, margin=MARGINS["psnr_db"])
    letter(axes[2], 2, "PSNR")
    add_psnr_colorbar(figure, axes[:2], norm)
    figure.suptitle(result.message(), fontsize=8)
    return figure


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    texts = [name for name in columns if name in ("loss", "dataset", "ranked_by")]
    numbers = [name for name in columns if name not in texts]
    return read_table(path, "srlongtail ablate losses", numbers=numbers, texts=texts)


def _length(runs: pd.DataFrame, iterations: int | None) -> int:
    """Return the iterations of the runs to compare: those given, or the fewest."""
    lengths = {n: set(losses) for n, losses in runs.groupby("iterations")["loss"]}
    known = [n for n, losses in lengths.items() if CONTROL in losses and len(losses) > 1]
    if iterations is None:
        return min(known or lengths)
    if known and iterations not in known:
        expected = " or ".join(f"{n:,}" for n in known)
        raise InputError(
            f"iterations {iterations:,}: no losses to compare with {CONTROL}, expected {expected}"
        )
    return iterations


def _differences(runs: pd.DataFrame) -> pd.DataFrame:
    l1 = runs[runs["loss"] == CONTROL].set_index("seed")[list(MEASURES)]
    others = runs[(runs["loss"] != CONTROL) & runs["seed"].isin(l1.index)]
    found = others[list(MEASURES)] - l1.loc[others["seed"]].to_numpy()
    return pd.concat([others[["loss", "seed"]], found], axis=1).reset_index(drop=True)


def _title(loss: str) -> str:
    if loss == PERTURBED:
        return "L1, perturbed"
    # In a notebook, `__main__` is the notebook itself.
    return LOSSES[loss].title if loss in LOSSES else loss.removeprefix("__main__:")


def _is_control(loss: str) -> bool:
    return loss == PERTURBED or (loss in LOSSES and LOSSES[loss].control)


def _below(count: int, margin: float, unit: str) -> str:
    """Return how many effects are smaller than the margin, in brackets; empty if none is."""
    return f" ({count} below the margin of {margin:g} {unit})" if count else ""


def _cell(value: float, form: str) -> str:
    if pd.isna(value):
        return ""
    return "more than measured" if value == float("inf") else form.format(value)
