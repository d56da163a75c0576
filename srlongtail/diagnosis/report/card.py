"""The card: what was measured, how, on what, and what was not, as JSON and as Markdown."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from srlongtail.diagnosis.report.survey import Survey
from srlongtail.diagnosis.report.verdict import (
    BLUR,
    CONTRAST,
    NOISE,
    OFFSET,
    SHIFT,
    Verdict,
    within,
)
from srlongtail.evaluation import UNKNOWN_LR
from srlongtail.metrics import PAPER, mean_psnr
from srlongtail.models.sr_images import SRImages
from srlongtail.provenance import provenance, versions
from srlongtail.results import as_json
from srlongtail.stats import Interval, mean_interval


def means(survey: Survey) -> pd.DataFrame:
    """Return the mean scores of each model and data set, PSNR and gain with 95% intervals.

    Columns `model, dataset, images, psnr_db, psnr_low, psnr_high, ssim, y_psnr_db, y_ssim,
    gain_db, gain_low, gain_high, perfect`; perfect images have no finite PSNR, and do not count
    in its means.
    """
    rows = []
    for (model, dataset), table in survey.scores.groupby(["model", "dataset"], sort=False):
        finite = table["paper_psnr_db"][np.isfinite(table["paper_psnr_db"])]
        psnr = mean_interval(finite) if len(finite) else Interval(np.inf, np.nan, np.nan)
        gain = Interval(np.nan, np.nan, np.nan)
        if model != "bicubic":
            gains = survey.gains(str(model))
            gains = gains[gains.index.get_level_values("dataset") == dataset]
            gain = mean_interval(gains) if len(gains) else Interval(np.inf, np.nan, np.nan)
        rows.append(
            {
                "model": model,
                "dataset": dataset,
                "images": len(table),
                **dict(zip(("psnr_db", "psnr_low", "psnr_high"), psnr[:3], strict=True)),
                "ssim": table["paper_ssim"].mean(),
                "y_psnr_db": mean_psnr(table["y_psnr_db"]),
                "y_ssim": table["y_ssim"].mean(),
                **dict(zip(("gain_db", "gain_low", "gain_high"), gain[:3], strict=True)),
                "perfect": len(table) - len(finite),
            }
        )
    return pd.DataFrame(rows)


def not_measured(survey: Survey, quick: bool) -> list[str]:
    """Return what the report does not say, in sentences."""
    said = [
        "One checkpoint stands for each network: training with another seed may give another "
        "result, and the intervals, which are over images, do not say by how much.",
        "Perceived quality (LPIPS, opinions), speed and memory were not measured.",
        "Whether the network was trained on these images was not checked.",
    ]
    if quick:
        left_out = sum(survey.left_out.values())
        said.append(
            "This is a quick look: spectra, tail statistics, weights and attributions were left "
            f"out{f', and so were {left_out} images' if left_out else ''}."
        )
    tiled = [
        model.name
        for model in survey.networks
        if any(PAPER.tiling(model.architecture, data.name) for data in survey.datasets)
    ]
    if tiled:
        said.append(
            f"{', '.join(tiled)}: restored in tiles, as the paper's protocol asks, for the scores "
            "on luma, too."
        )
    folders = [model.name for model in survey.networks if isinstance(model, SRImages)]
    if folders:
        said.append(
            f"{', '.join(folders)}: SR images without a network. Which LR images they were made "
            f"from is {UNKNOWN_LR}, and attributions need the network."
        )
    return said


def card(survey: Survey, verdicts: Sequence[Verdict], *, quick: bool) -> dict[str, Any]:
    """Return all that is needed to repeat and to judge the report; see `as_json`."""
    training = {
        model.name: {"iterations": known.iterations, "seed": known.recipe.get("seed")}
        for model in survey.networks
        if (known := model.provenance.training) is not None
    }
    facts = {
        "srlongtail": versions()["srlongtail"],
        "verdicts": {
            v.model: {
                "headline": v.headline,
                "sentences": list(v.sentences),
                "systematic": [symptom.kind for symptom in v.symptoms],
            }
            for v in verdicts
        },
        "scores": means(survey).to_dict("records"),
        "protocols": {
            "paper": "RGB of 8 bits, without a border of scale pixels, 7 x 7 uniform SSIM",
            "y": "luma (BT.601, 16 to 235), without that border, 11 x 11 Gaussian SSIM",
        },
        "systematic_limits": {
            "offset_levels": OFFSET,
            "contrast_change": CONTRAST,
            "shift_pixels": SHIFT,
            "blur_variance": BLUR,
            "noise_variance": NOISE,
        },
        "seeds": {"bootstrap": 0, "training": training},
        "quick": quick,
        "left_out": dict(survey.left_out),
        "not_measured": not_measured(survey, quick),
        **provenance(survey.networks, survey.datasets, quick=quick),
    }
    return as_json(facts)


def markdown(survey: Survey) -> str:
    """Return the mean scores as a Markdown table, to paste into a repository."""
    lines = [
        "| model | data | PSNR, RGB (95%) | SSIM | PSNR, Y | over bicubic (95%) | LR |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lr = {data.name: data.lr_source.short for data in survey.datasets}
    for row in means(survey).to_dict("records"):
        if row["model"] == "bicubic":
            continue
        psnr, gain = (
            within(Interval(row[what], row[low], row[high]), spec)
            for what, low, high, spec in (
                ("psnr_db", "psnr_low", "psnr_high", ".2f"),
                ("gain_db", "gain_low", "gain_high", "+.2f"),
            )
        )
        cells = [row["model"], f"{row['dataset']} ({row['images']}), x{survey.datasets[0].scale}"]
        cells += [psnr, f"{row['ssim']:.4f}", f"{row['y_psnr_db']:.2f}", gain, lr[row["dataset"]]]
        lines.append(
            "| "
            + " | ".join(escape(str(cell), quote=False).replace("|", "\\|") for cell in cells)
            + " |"
        )
    return "\n".join([*lines, "", f"Measured with srlongtail {versions()['srlongtail']}."]) + "\n"
