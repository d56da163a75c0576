"""Put the page together and write it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from srlongtail.diagnosis.report.card import card, markdown, means, not_measured
from srlongtail.diagnosis.report.figures import DataLink, Plot, data_link, data_uri, plot
from srlongtail.diagnosis.report.pictures import Pictures, webp
from srlongtail.diagnosis.report.survey import Survey
from srlongtail.diagnosis.report.verdict import Verdict, judge, within
from srlongtail.files import replacing
from srlongtail.models.sr_images import AnyModel
from srlongtail.results import write_record
from srlongtail.stats import holm, mean_interval
from srlongtail.studies import attribution, comparison, spectrum, tail, tenths, weights
from srlongtail.studies.worst import RuledWindow
from srlongtail.studies.writing import listed

PAGE_BYTES = 12_000_000  # of the whole page
_BASE64 = 4 / 3
_MARGIN = 50_000  # bytes: names and places of pictures, which the page says of each


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        page: The HTML file.
        card: The JSON file beside it.
        bytes: Size of the page.
        whole: Number of images that it shows whole.
        cropped: Number of images of which it shows crops.
        hidden: Number of images that it does not show.
        verdicts: On each network.
    """

    page: Path
    card: Path
    bytes: int
    whole: int
    cropped: int
    hidden: int
    verdicts: Sequence[Verdict]


def picture_budget(all_images: bool) -> float:
    """Return how many bytes of pictures a page can hold at most."""
    return np.inf if all_images else PAGE_BYTES / _BASE64


def write_report(
    survey: Survey, out: Path, *, quick: bool = False, all_images: bool = False
) -> Written:
    """Write the page, and its card beside it as JSON.

    Args:
        survey: What was measured.
        out: The HTML file; the card has its name with `.json`.
        quick: Whether the survey was quick, to say so.
        all_images: Show all images whole, however large the page gets.
    """
    with replacing(out) as path:  # a place that cannot be written is told before anything is drawn
        verdicts = [judge(survey, model.name) for model in survey.networks]
        record = card(survey, verdicts, quick=quick)
        context = _context(survey, verdicts, record, quick=quick)
        rest = len(_rendered(context, [], 0).encode())
        budget = np.inf if all_images else (PAGE_BYTES - _MARGIN - rest) / _BASE64
        shown = survey.album.chosen(budget)
        hidden = len(survey.album) - len(shown)
        text = _rendered(context, [_viewed(survey, pictures) for pictures in shown], hidden)
        path.write_text(text, encoding="utf-8")
    beside = write_record(out.with_suffix(".json"), record)
    whole = sum(pictures.is_whole for pictures in shown)
    size = len(text.encode())
    return Written(out, beside, size, whole, len(shown) - whole, hidden, verdicts)


@cache
def _environment() -> jinja2.Environment:
    templates = files(__package__) / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(templates)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": _fixed,
        "interval": _interval,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def _rendered(context: Mapping[str, Any], viewed: Sequence[dict[str, Any]], hidden: int) -> str:
    template = _environment().get_template("report.html")
    # The script reads the layers' files from the page's images.
    facts = [{**v, "layers": [{**layer, "url": ""} for layer in v["layers"]]} for v in viewed]
    return template.render(**context, viewed=viewed, viewed_facts=facts, hidden=hidden)


def _fixed(value: float, digits: int, sign: bool = False) -> str:
    """Return a number with so many digits; a dash where there is none."""
    if value is None or np.isnan(value):
        return "-"
    return "∞" if np.isinf(value) else f"{value:{'+' if sign else ''}.{digits}f}"


def _interval(row: Mapping[str, float], what: str, digits: int, sign: bool = False) -> str:
    """Return an interval as text, in parentheses; nothing where there is none."""
    low, high = row[f"{what}_low"], row[f"{what}_high"]
    if np.isnan(low):
        return ""
    return f"({_fixed(low, digits, sign)} to {_fixed(high, digits, sign)})"


def _context(
    survey: Survey, verdicts: Sequence[Verdict], record: Mapping[str, Any], *, quick: bool
) -> dict[str, Any]:
    """Return everything that the template shows, other than the viewer's pictures."""
    templates = files(__package__) / "templates"
    viewer = files("srlongtail").joinpath("widgets", "viewer.js")
    style = files("srlongtail").joinpath("widgets", "style.css")
    subjects = survey.subjects
    scores = survey.scores.copy()
    bicubic = scores[scores["model"] == "bicubic"].set_index(["dataset", "image"])["paper_psnr_db"]
    own = scores.set_index(["dataset", "image"]).index
    with np.errstate(invalid="ignore"):
        scores["gain_db"] = scores["paper_psnr_db"].to_numpy() - bicubic.loc[own].to_numpy()
    card_text = json.dumps(record, indent=2)
    return {
        "style": (templates / "style.css").read_text("utf-8"),
        "script": (templates / "report.js").read_text("utf-8"),
        "viewer_script": viewer.read_text("utf-8") if viewer.is_file() else "",
        "viewer_style": style.read_text("utf-8") if style.is_file() else "",
        "title": title(survey),
        "headline": headline(survey, verdicts),
        "verdicts": verdicts,
        "subjects": subjects,
        "models": [_described(model, subjects[model.name].label) for model in survey.networks],
        "datasets": survey.datasets,
        "scale": survey.datasets[0].scale,
        "quick": quick,
        "page_mb": PAGE_BYTES // 1_000_000,
        "means": means(survey).to_dict("records"),
        "means_data": data_link("means.csv", means(survey)),
        "scores": scores.to_dict("records"),
        "scores_data": data_link("images.csv", scores),
        "tail_table": _tail_table(survey),
        "plots": _plots(survey, verdicts),
        "windows": [_window(survey, found) for found in survey.windows],
        "windows_data": _windows_data(survey.windows),
        "comparisons": _comparisons(survey),
        "attributions": _attributions(survey),
        "not_measured": not_measured(survey, quick),
        "card": record,
        "card_text": card_text,
        "card_data": data_uri(card_text.encode(), "application/json"),
        "markdown": markdown(survey),
    }


def title(survey: Survey) -> str:
    """Return what the page is about: which networks, on which images."""
    names = listed([survey.subjects[model.name].label for model in survey.networks])
    data = listed([data.name for data in survey.datasets])
    return f"{names} on {data}, x{survey.datasets[0].scale}"


def headline(survey: Survey, verdicts: Sequence[Verdict]) -> str:
    """Return the message of the page in a line."""
    if len(verdicts) == 1:
        return verdicts[0].headline
    psnr = survey.scores.groupby("model")["paper_psnr_db"].mean()
    order = sorted((v.model for v in verdicts), key=lambda model: -psnr[model])
    best, second = (survey.subjects[model].label for model in order[:2])
    both = survey.scores.pivot(index=["dataset", "image"], columns="model", values="paper_psnr_db")
    with np.errstate(invalid="ignore"):
        gains = both[order[0]] - both[order[1]]
    gains = gains[np.isfinite(gains)]
    if not len(gains):
        return f"{best} leads"
    lead = mean_interval(gains)
    by = f"{within(lead, '.2f')} dB"
    if len(gains) < comparison.ENOUGH:
        return f"{best} leads {second} by {by}, on too few images for a verdict"
    if lead.low <= 0 <= lead.high:
        return f"{best} and {second} cannot be told apart on these images: {by}"
    return f"{best} leads {second} by {by}"


def _described(model: AnyModel, label: str) -> dict[str, Any]:
    """Return what a model is, and what determined each of its settings."""
    known = model.provenance
    facts: list[tuple[str, object, str]] = []
    if known.source:
        facts.append(("file", known.source.name, ""))
        facts.append(("SHA-256", known.source.sha256, ""))
        if known.source.wrapping:
            facts.append(("weights", known.source.wrapping, ""))
    network = model.architecture or known.network
    if network:
        facts.append(("network", network, ""))
    for what in ("scale", "predicts", "value_range", "channels", "multiple"):
        if hasattr(model, what):
            by = known.determined_by.get(what, "")
            facts.append((what.replace("_", " "), getattr(model, what), by))
    if known.probe:
        facts.append(("probe", known.probe, ""))
    facts += [("note", note, "") for note in known.notes]
    if known.training:
        on = f" on {known.training.images} images" if known.training.images else ""
        facts.append(("training", f"{known.training.iterations:,} iterations{on}", ""))
    else:
        facts.append(("training", "the file does not tell", ""))
    return {"name": model.name, "label": label, "facts": facts}


def _tail_table(survey: Survey) -> list[dict[str, Any]]:
    rows = []
    for found in survey.tails:
        for row in found.summary.to_dict("records"):
            model = row["model"]
            row |= {"dataset": found.dataset, "label": survey.subjects[model].label}
            row |= {"gini": np.nan, "tail_index": np.nan}
            if survey.statistics is not None:
                means = survey.statistics.summary()
                mine = means[(means["model"] == model) & (means["dataset"] == found.dataset)]
                estimates = mine.set_index("statistic")["estimate"]
                row |= {key: estimates.get(key, np.nan) for key in ("gini", "tail_index")}
            rows.append(row)
    return rows


def _plots(survey: Survey, verdicts: Sequence[Verdict]) -> dict[str, list[Plot]]:
    """Return the figures of each section."""
    found: dict[str, list[Plot]] = {"tail": [], "tenths": [], "spectrum": [], "weights": []}
    for number, one in enumerate(survey.tails, start=1):
        found["tail"].append(plot(f"ad-{number}", tail.draw, one, one.caption()))
    found["tenths"].append(plot("tenths", tenths.draw, survey.tenths, survey.tenths.message()))
    for number, spectra in enumerate(survey.spectra, start=1):
        found["spectrum"].append(
            plot(f"spectrum-{number}", spectrum.draw, spectra, spectra.caption())
        )
    for number, maps in enumerate(survey.why.weights if survey.why else (), start=1):
        found["weights"].append(
            plot(f"weights-{number}", weights.draw, maps, maps.caption(), photo=True)
        )
    return found


def _comparisons(survey: Survey) -> list[dict[str, Any]]:
    studies = [(study, study.comparison.sign_test) for study in survey.comparisons]
    corrected = holm([signs.p_value for _, signs in studies])
    return [
        {
            "message": study.message(),
            "labels": study.labels,
            "gain": within(study.comparison.gain, "+.3f"),
            "signs": signs,
            "p_value": p_value,
            "smallest": study.comparison.smallest_detectable_gain_db,
            "plot": plot(
                f"comparison-{number}", comparison.draw, study, study.message(), photo=True
            ),
            "data": data_link(f"comparison-{number}-images.csv", study.comparison.per_image()),
        }
        for number, ((study, signs), p_value) in enumerate(
            zip(studies, corrected, strict=True), start=1
        )
    ]


def _attributions(survey: Survey) -> list[dict[str, Any]]:
    if survey.why is None:
        return []
    return [
        {
            "name": name,
            "plot": plot(
                f"attribution-{name}", attribution.draw, found, found.message(), photo=True
            ),
            "maps": [
                {
                    "label": found.subjects[model].label,
                    "n_eff": map_.n_eff,
                    "diffusion_index": map_.diffusion_index,
                    "completeness_error": map_.completeness_error,
                    "nan_steps": map_.nan_steps,
                    "canvas": map_.canvas,
                    "doubts": map_.doubts,
                }
                for model, map_ in found.maps.items()
            ],
        }
        for name, found in survey.why.windows.items()
    ]


def _window(survey: Survey, found: RuledWindow) -> dict[str, Any]:
    """Return a window picked by rule, with its crops as lossless files in true pixels."""
    crops = []
    for name, pixels in found.crops.items():
        label = "HR" if name == "HR" else survey.subjects[name].label
        score = found.scores.get(name)
        below = "" if score is None else f"{_fixed(score.psnr_db, 2)} dB"
        crops.append({"label": label, "below": below, "url": data_uri(webp(pixels), "image/webp")})
    label = survey.subjects[found.model].label
    verb = {
        "largest error": f"Where {label} errs the most",
        "largest loss against bicubic": f"Where {label} loses the most against bicubic",
        "largest gain over bicubic": f"Where {label} gains the most over bicubic",
    }[found.rule]
    return {"found": found, "label": label, "title": verb, "crops": crops, "rank": found.rank()}


def _windows_data(windows: Sequence[RuledWindow]) -> DataLink | None:
    tables = [found.frame() for found in windows]
    return data_link("windows.csv", pd.concat(tables)) if tables else None


def _viewed(survey: Survey, pictures: Pictures) -> dict[str, Any]:
    """Return what the viewer is told of an image."""
    place = pictures.dataset, pictures.name
    return {
        "name": pictures.name,
        "dataset": pictures.dataset,
        "height": pictures.box.height,
        "width": pictures.box.width,
        "row": pictures.box.top,
        "column": pictures.box.left,
        "scale": pictures.scale,
        "whole": pictures.is_whole,
        "layers": [
            {
                "name": "HR" if layer.kind == "hr" else survey.subjects[layer.name].label,
                "kind": layer.kind,
                "url": data_uri(layer.webp, "image/webp"),
            }
            for layer in pictures.layers
        ],
        "tenth": data_uri(pictures.tenth, "image/webp"),
        "windows": [
            {
                "label": f"{found.rule}, {survey.subjects[found.model].label}",
                "row": found.window[0],
                "column": found.window[1],
                "size": found.window[2],
                "percentile": found.error_percentile
                if found.rule == "largest error"
                else found.gain_percentile,
            }
            for found in survey.windows
            if (found.dataset, found.image) == place
        ],
    }
