"""Figure 4: the effect of each FPL parameter, beside the effect of chance."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from srlongtail.ablation.noise import CONFIDENCE, noise_floor
from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters
from srlongtail.models.catalog import CATALOG
from srlongtail.models.facts import PARTS
from srlongtail.paper.inputs import FigureInputs
from srlongtail.plots.ablation import plot_gains
from srlongtail.plots.style import PAGE, letter
from srlongtail.results import read_record, read_table
from srlongtail.stats import Interval

_METRICS = {"psnr_db": "PSNR gain over baseline (dB)", "ssim": "SSIM gain over baseline"}
_DIALS = {"gamma": "strength of a weight, gamma", "alpha": "factor of a weight, alpha"}
_PRIORS = {"sp": "static", "lp": "learnable"}
_SHOWN = ["arm", "seed", "iterations", "dataset", *_METRICS]
_DIALS_OF_A_RUN = [f"{dial}_{prior}" for prior in _PRIORS for dial in _DIALS]
_COLUMNS = [*_SHOWN, *PARTS, *_DIALS_OF_A_RUN]
_TEXTS = ("arm", "dataset")
_ENDS = ("fpl", "baseline")
_COMPARED = (*_ENDS, "skip")


@dataclass(frozen=True)
class Fig4:
    """The runs of the focal-parameters grid, measured on one data set, and their gains.

    Each run is compared with FPL's run of the same seed, and FPL's mean with the baseline's. A seed
    that shifts all arms alike therefore has no effect, and arms that lack a seed can be shown.

    Attributes:
        dataset: Name of the data set.
        runs: One row per run: `arm, seed, iterations, dataset, psnr_db, ssim`, the parts of FPL in
            use (`PARTS`), `alpha_sp, gamma_sp, alpha_lp, gamma_lp`, and for each metric the gain
            over the baseline. The columns `*_gain_of_seed` are gains over the baseline's run of
            the same seed instead.
        gains: Metric -> arm -> mean gain.
        floors: Metric -> FPL's mean gain, with the interval in which the means of equal arms would
            fall; None for a single seed.
        network: Which network was trained on what, as far as the table's record states it.
    """

    dataset: str
    runs: pd.DataFrame
    gains: Mapping[str, Mapping[str, float]]
    floors: Mapping[str, Interval | None]
    network: str = ""

    @classmethod
    def of(cls, dataset: str, runs: pd.DataFrame, network: str = "") -> "Fig4":
        """Compare the runs of a table.

        The spread by chance is estimated from the runs with a bicubic skip, without the arms of
        alpha: with Adam, these are nearly the same run as FPL, and would hide the spread.

        Args:
            dataset: Name of the data set.
            runs: The table's rows for it.
            network: Which network was trained on what.
        """
        table = runs.copy()
        gains: dict[str, dict[str, float]] = {}
        floors: dict[str, Interval | None] = {}
        equal = runs["skip"] & ~(_turned(runs, "alpha_sp") | _turned(runs, "alpha_lp"))
        for metric in _METRICS:
            fpl, base = (runs[runs["arm"] == arm].set_index("seed")[metric] for arm in _ENDS)
            over_fpl = runs[metric] - runs["seed"].map(fpl)
            table[f"{metric}_gain"] = over_fpl + fpl.mean() - base.mean()
            table[f"{metric}_gain_of_seed"] = runs[metric] - runs["seed"].map(base)
            gains[metric] = table.groupby("arm", sort=False)[f"{metric}_gain"].mean().to_dict()
            half, middle = noise_floor(runs[equal], metric), gains[metric]["fpl"]
            floors[metric] = (
                None if half is None else Interval(middle, middle - half, middle + half)
            )
        return cls(dataset, table, gains, floors, network)

    def frame(self) -> pd.DataFrame:
        """Return one row per run, with its gains over the baseline."""
        gains = [f"{metric}_gain{of}" for metric in _METRICS for of in ("", "_of_seed")]
        return self.runs[[*_SHOWN, *gains]]

    def gain(self, arm: str, metric: str = "psnr_db") -> float:
        """Return the mean gain of an arm over the baseline."""
        return self.gains[metric][arm]

    def floor(self, metric: str) -> Interval | None:
        """Return FPL's mean gain, with the interval in which the means of equal arms would fall."""
        return self.floors[metric]

    def outside(self, dial: str) -> tuple[int, int]:
        """Return how many settings differ from FPL by more than chance, and how many there are.

        With a single seed, none is counted.

        Args:
            dial: The parameter, "gamma" or "alpha".
        """
        floor = self.floor("psnr_db")
        turned = _turned(self.runs, f"{dial}_sp") | _turned(self.runs, f"{dial}_lp")
        gains = [self.gain(arm) for arm in self.runs.loc[turned, "arm"].unique()]
        low, high = (floor.low, floor.high) if floor else (-np.inf, np.inf)
        return sum(not low <= gain <= high for gain in gains), len(gains)

    def dial(self, dial: str, metric: str) -> dict[str, pd.DataFrame]:
        """Return the gains along one parameter of both priors; FPL is a point of each.

        Args:
            dial: "gamma" or "alpha".
            metric: "psnr_db" or "ssim".

        Returns:
            Prior -> table of `value` and `gain`.
        """
        gains = self.runs[f"{metric}_gain"]
        found = {}
        for prior, name in _PRIORS.items():
            key = f"{dial}_{prior}"
            chosen = (self.runs["arm"] == "fpl") | _turned(self.runs, key)
            line = pd.DataFrame({"value": self.runs.loc[chosen, key], "gain": gains[chosen]})
            found[f"{name} prior"] = line.sort_values("value", kind="stable", ignore_index=True)
        return found

    def settings(self) -> dict[str, Any]:
        """Return the data set shown."""
        return {"dataset": self.dataset}

    def caption(self) -> str:
        """Return what the figure shows."""
        counts = self.runs.groupby("arm").size()
        seeds = " to ".join(f"{n}" for n in sorted({counts.min(), counts.max()}))
        return (
            f"Gains over the baseline on {self.dataset} after {self.runs['iterations'].iloc[0]:,} "
            f"iterations{self.network}, as one dial is turned and the others stay at FPL's. Small "
            f"marks: seeds ({seeds} an arm), compared with FPL's run of that seed; lines: their "
            f"means. Dotted: bicubic skip alone, without weights, which already has "
            f"{self.gain('skip'):+.3f} dB of FPL's {self.gain('fpl'):+.3f} dB. {self._chance()}"
        )

    def _chance(self) -> str:
        floor = self.floor("psnr_db")
        if floor is None:
            return "With a single seed, chance cannot be estimated."
        (gammas, all_gammas), (alphas, all_alphas) = map(self.outside, _DIALS)
        fpl = self.frame().query("arm == 'fpl'")["psnr_db_gain_of_seed"]
        skip = "inside" if floor.low <= self.gain("skip") <= floor.high else "outside"
        return (
            f"Gray: where {CONFIDENCE:.0%} of the arms that are no better or worse than FPL would "
            f"lie, by the spread over seeds (without alpha's arms). Outside by PSNR: {gammas} of "
            f"{all_gammas} settings of gamma, {alphas} of {all_alphas} of alpha, a constant factor "
            f"on the loss that Adam all but cancels; the skip alone is {skip}. Seed by seed FPL "
            f"gains {fpl.min():+.2f} to {fpl.max():+.2f} dB; this offset is the same for every "
            f"point."
        )


def _turned(runs: pd.DataFrame, key: str) -> pd.Series:
    """Return a mask of the FPL runs in which only this parameter differs from the paper's."""
    papers = pd.Series(asdict(FocalParameters()))[_DIALS_OF_A_RUN]
    turned = runs[_DIALS_OF_A_RUN].ne(papers)
    return runs[list(PARTS)].all(axis=1) & turned[key] & (turned.sum(axis=1) == 1)


def settings(inputs: FigureInputs) -> dict[str, Any]:
    """Return the table and the data set that the figure depends on.

    Raises:
        InputError: There is no such table.
    """
    path = inputs.ablation
    if not path.is_file():
        raise InputError(
            f"{path}: no such table, expected the one that "
            f"'srlongtail ablate focal-parameters' writes"
        )
    return {
        "ablation": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dataset": _dataset(inputs),
        "made_by": _record(inputs),
    }


def compute(inputs: FigureInputs) -> Fig4:
    """Read the table of the ablation, for the given data set if it has it, else for its first.

    While the grid is running, seeds that baseline, skip or FPL do not have yet are left out.

    Raises:
        InputError: The table is not of this grid, or has no baseline, skip alone or FPL.
    """
    dataset = settings(inputs)["dataset"]
    table = _read(inputs)
    runs = table.loc[table["dataset"] == dataset, _COLUMNS]
    compared = runs[runs["arm"].isin(_COMPARED)].groupby("seed")["arm"].nunique()
    seeds = compared.index[compared == len(_COMPARED)]
    if seeds.empty:
        raise InputError(
            f"{inputs.ablation}: no seed has runs of {', '.join(_COMPARED)} measured on {dataset}, "
            f"expected all three of one seed at least"
        )
    runs = runs[runs["seed"].isin(seeds)].reset_index(drop=True)
    return Fig4.of(dataset, runs, _network(_record(inputs)))


def draw(result: Fig4) -> Figure:
    """Draw PSNR above and SSIM below, gamma on the left and alpha on the right."""
    figure = Figure(figsize=(PAGE, 3.9))
    grid = figure.subplots(2, 2, sharey="row", sharex="col")
    for row, (metric, label) in enumerate(_METRICS.items()):
        for column, (dial, meaning) in enumerate(_DIALS.items()):
            ax = grid[row, column]
            floor = result.floor(metric)
            plot_gains(result.dial(dial, metric), ax, floor=floor, log=dial == "alpha")
            skip = result.gain("skip", metric)
            ax.axhline(skip, color="black", linestyle=":", linewidth=1, label="bicubic skip alone")
            letter(ax, 2 * row + column, meaning if row == 0 else "")
        grid[row, 0].set_ylabel(label)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.align_ylabels(grid[:, 0])
    for ax, dial in zip(grid[1], _DIALS, strict=True):
        ax.set_xlabel(f"{dial} of one prior (the others as FPL's)")
    return figure


def _record(inputs: FigureInputs) -> dict[str, Any]:
    """Return the facts about the runs in the `.json` beside the table; empty without one."""
    path = inputs.ablation.with_suffix(".json")
    if not path.is_file():
        return {}
    record = read_record(path)
    return {key: record[key] for key in ("command", "settings", "training") if key in record}


def _network(record: Mapping[str, Any]) -> str:
    recipe, data = (
        record.get(part, {}).get(key)
        for part, key in (("settings", "recipe"), ("training", "data"))
    )
    if not recipe or not data:
        return ""
    label = CATALOG[recipe["network"]].label
    return f" of {label} at x{recipe['scale']} on {data['images']} images"


def _dataset(inputs: FigureInputs) -> str:
    names = list(_read(inputs)["dataset"].unique())
    return inputs.data.name if inputs.data.name in names else names[0]


def _read(inputs: FigureInputs) -> pd.DataFrame:
    path, made_by = inputs.ablation, "srlongtail ablate focal-parameters"
    numbers = [name for name in _COLUMNS if name not in _TEXTS]
    table = read_table(path, made_by, numbers=numbers, texts=_TEXTS)
    arms = list(table["arm"].unique())
    missing = [f"arm {arm}" for arm in _COMPARED if arm not in arms]
    if missing:
        raise InputError(
            f"{path}: without {', '.join(missing)}, expected the table that '{made_by}' writes"
        )
    return table
