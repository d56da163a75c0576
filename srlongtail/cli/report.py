"""The command that writes the report."""

from pathlib import Path

from srlongtail.cli.messages import note
from srlongtail.cli.options import (
    NO_DATA_OPTIONS,
    NO_MODEL_OPTIONS,
    Data,
    Models,
    SomeModels,
)
from srlongtail.errors import InputError


def analyze(
    models: SomeModels,
    /,
    *,
    quick: bool = False,
    all_images: bool = False,
    out: Path = Path("report.html"),
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Write one page on what networks are, where they fail, and what their numbers mean.

    The page opens from disk and fetches nothing; it stays under 12 MB.

    Args:
        models: names of shipped networks, checkpoint files, model cards, or folders of SR images.
        quick: measure at most 8 images (fewer if they are large), and no spectra, tail statistics,
            weights or attributions.
        all_images: show all images whole, however large the page gets.
        out: HTML file to write; its card is written beside it, as JSON.
    """
    from srlongtail import parallel
    from srlongtail.diagnosis.report import page, survey
    from srlongtail.studies.writing import counted, listed

    if not models:
        raise InputError(
            "no model named, expected a checkpoint file or a shipped network, such as "
            "fsrcnn-fpl-x4 (see srlongtail zoo list)"
        )
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}, expected the name of an HTML file, such as report.html")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder, expected the name of an HTML file")
    with parallel.process_group():
        loaded = model_options.load_any(models, data_options)
        datasets = data_options.open(loaded[0].scale)
        found = survey.compute(
            loaded,
            datasets,
            quick=quick,
            budget=page.picture_budget(all_images),
            skip_bad=data_options.skip_bad,
        )
        if not parallel.is_writer():
            return
        written = page.write_report(found, out, quick=quick, all_images=all_images)
        parts = {"whole": written.whole, "as crops": written.cropped, "not": written.hidden}
        shown = listed([f"{counted(n, 'image')} {how}" for how, n in parts.items() if n])
        note(f"{written.page} ({written.bytes / 1e6:.1f} MB) shows {shown}")
        for verdict in written.verdicts:
            print(f"{verdict.headline}. {' '.join(verdict.sentences)}")
        print(written.page)
        print(written.card)
