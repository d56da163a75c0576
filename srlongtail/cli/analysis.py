"""The commands that analyze networks; each imports heavy modules only when it runs."""

import sys
import textwrap
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

from srlongtail.cli.messages import note
from srlongtail.cli.options import (
    NO_DATA_OPTIONS,
    NO_FOLDER_OPTIONS,
    NO_MODEL_OPTIONS,
    Data,
    Folders,
    Models,
    OneModel,
    Repeatable,
    SomeModels,
    flatten,
)
from srlongtail.errors import InputError

if TYPE_CHECKING:
    from srlongtail.studies.current import Written


def figures(
    *,
    only: Repeatable = (),
    models: Repeatable = (),
    image: str | None = None,
    window: tuple[int, int, int] | None = None,
    ablation: Path | None = None,
    force: bool = False,
    out: Path = Path("figures"),
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Regenerate the paper's figures.

    Args:
        only: names of figures, such as fig1; default: all.
        models: networks to show; default: the shipped networks.
        image: name of the image to show.
        window: row, column and size of the window of Figures 3 and 6, in SR pixels.
        ablation: CSV file of 'srlongtail ablate focal-parameters', for Figure 4; default: the
            shipped one.
        force: recompute everything, not only what changed.
        out: folder to write to.
    """
    from srlongtail.models.find import default_networks
    from srlongtail.paper.gallery import FIGURE_TITLES, write_gallery

    names = flatten(models) or default_networks()
    if not names:
        note("no network ships with this version: bicubic alone is shown; --models names others")
    chosen = flatten(only) or tuple(FIGURE_TITLES)
    written = _written(out, names, ablation, data_options, model_options)
    current = [name for name in chosen if written and not force and written.is_current(name)]
    if current:
        note(f"{', '.join(current)}: up to date, not drawn again (--force draws all)")
    changed = [name for name in chosen if name not in current]
    if changed:
        from srlongtail.paper.build import build_figures
        from srlongtail.paper.inputs import FigureInputs

        networks = tuple(m for m in model_options.load(names) if m.name != "bicubic")
        scale = networks[0].scale if networks else model_options.scale or 4
        inputs = FigureInputs(networks, data_options.open_one(scale), image, window)
        if ablation is not None:
            inputs = replace(inputs, ablation=ablation)
        build_figures(inputs, out, changed, force, written)
    else:
        write_gallery(out)
    for name in chosen:
        print(out / f"{name}.png")


def _written(
    out: Path,
    networks: tuple[str, ...],
    ablation: Path | None,
    data_options: Data,
    model_options: Models,
) -> "Written | None":
    """Return which figures earlier runs wrote; None if not all inputs are known without torch.

    Known are the built-in photos, and networks that one file holds.
    """
    from srlongtail.models.find import find_file
    from srlongtail.studies.current import Written, dependencies_sha256

    files = [find_file(name) for name in networks]
    known = [file for file in files if file and file.suffix != ".toml"]
    if len(known) < len(files) or model_options.network or data_options.data:
        return None
    if ablation is not None and ablation.is_file():
        known += [ablation, ablation.with_suffix(".json")]
    return Written(out, dependencies_sha256(sys.argv[1:], known))


def tables(
    *,
    only: Repeatable = (),
    models: Repeatable = (),
    force: bool = False,
    out: Path = Path("figures"),
    data_options: Folders = NO_FOLDER_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Regenerate the paper's tables: our numbers, the published ones, and the difference.

    Args:
        only: table1 (x4), table2 (x2), table3 (x4, degraded), table4 (BSRN); default: every
            table that a given network belongs to.
        models: networks to score, of any scale; default: the shipped networks.
        force: recompute all scores, not only what changed.
        out: folder to write to.
    """
    from srlongtail.models.find import zoo_names
    from srlongtail.paper.build import TABLES, build_tables
    from srlongtail.paper.tables import subject

    names = tuple(name for name in flatten(models) or zoo_names() if name != "bicubic")
    loaded = model_options.load(names, any_scale=True)
    for model in loaded:
        if not any(spec.takes(model) for spec in TABLES.values()):
            note(f"{model.name}: the paper has no table of {subject(model)}, left out")
    paths = build_tables(
        loaded,
        data_options.open,
        out,
        flatten(only),
        force,
    )
    for path in paths:
        print(path.read_text())
    for path in paths:
        print(path)


def evaluate(
    models: SomeModels,
    /,
    *,
    protocol: Literal["paper", "y"] = "paper",
    border: int | None = None,
    save: Path | None = None,
    out: Path | None = None,
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Measure PSNR and SSIM of models on data sets.

    Args:
        models: bicubic, bicubic-matlab, names of shipped networks, checkpoint files, model cards
            (.toml), "weights.pth@module:callable(arguments)", or folders of SR images.
        protocol: "paper" is RGB with 7x7 uniform SSIM (Tables 1 to 3), "y" is luma with
            Gaussian SSIM (Table 4).
        border: pixels to leave out on each side of the SR image; default: the scale.
        save: folder to write the SR images to: MODEL/NAME.png, or DATASET/MODEL/NAME.png for
            several data sets; such a folder can be used as MODEL.
        out: CSV file to write, one row for each model and image.
    """
    from srlongtail import evaluation, parallel
    from srlongtail.metrics import PROTOCOLS
    from srlongtail.provenance import provenance
    from srlongtail.results import write_record, write_table

    with parallel.process_group():
        loaded = model_options.load_any(_some(models), data_options)
        datasets = data_options.open(loaded[0].scale, scored=loaded)
        if protocol == "y" and any(model.name == "bicubic" for model in loaded):
            note(
                "bicubic: torch's, which is 0.2 dB above the bicubic of the literature on Set5 at "
                "x4; bicubic-matlab is that one"
            )
        rule = replace(PROTOCOLS[protocol], border=border)
        table = evaluation.evaluate(
            loaded, datasets, rule, skip_bad=data_options.skip_bad, save=save
        )
        if not parallel.is_writer():
            return
        for (model, data), images in evaluation.perfect_images(table).items():
            note(
                f"{model}: restored perfectly, left out of the mean of PSNR on {data}: "
                f"{', '.join(images)}"
            )
        if out is not None:
            write_table(out, table)
            settings = {"protocol": protocol, "border": border}
            write_record(out.with_suffix(".json"), provenance(loaded, datasets, **settings))
        print(evaluation.summarize(table).round({"psnr_db": 3, "ssim": 5}).to_string(index=False))
        if out is not None:
            print(out)


def histogram(
    models: SomeModels,
    /,
    *,
    out: Path = Path("."),
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Measure how errors are spread over pixels and frequencies, compared with bicubic's.

    Writes the distribution of absolute differences (histogram), how heavy its tail is (tail), and
    errors by spatial frequency (spectrum), each as .png, .pdf, .csv and .json. The other tables
    are tail-images.csv, tail-curves.csv and spectrum-tenths.csv.

    Args:
        models: names of shipped networks, checkpoint files, model cards, or folders of SR images.
        out: folder to write to.
    """
    from srlongtail import parallel
    from srlongtail.models.sr_model import bicubic
    from srlongtail.provenance import provenance
    from srlongtail.results import write_table
    from srlongtail.studies import errors, heaviness, spectrum, tail
    from srlongtail.studies.writing import write_result

    with parallel.process_group():
        loaded = model_options.load_any(_some(models), data_options)
        data = data_options.open_one(loaded[0].scale)
        networks = [model for model in loaded if model.name != "bicubic"]
        found = errors.compute(
            [bicubic(data.scale), *networks], data, skip_bad=data_options.skip_bad
        )
        if not parallel.is_writer():
            return
        record = provenance(loaded, [data])
        tenths = found.spectrum.tenths.reset_index()
        paths = [
            write_result(out / "histogram", tail.draw, found.tail, record),
            write_result(out / "tail", heaviness.draw, found.heaviness, record),
            write_table(out / "tail-images.csv", found.heaviness.tails.frame()),
            write_table(out / "tail-curves.csv", found.heaviness.curves),
            write_result(out / "spectrum", spectrum.draw, found.spectrum, record),
            write_table(out / "spectrum-tenths.csv", tenths),
        ]
        print(found.tail.summary.round(4).to_string(index=False))
        print(found.heaviness.message())
        for path in paths:
            print(path)


def fitting(
    run_1: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN_1")],
    run_2: Annotated[Positional[Path], tyro.conf.arg(metavar="RUN_2")],
    /,
    *,
    data: Repeatable = (),
    ranked_by: Literal["gradient", "bicubic_ad"] = "gradient",
    against: tuple[Path, Path] | None = None,
    device: str | None = None,
    out: Path = Path("."),
) -> None:
    """Measure over-fitting of head and tail, with two runs on one half of the images each.

    Train the runs with --half 1 and --half 2, and keep checkpoints with --keep-every 500. All
    images of both halves are measured at iterations that double: about 4 minutes for 700 images of
    481 x 321 pixels on one core.

    Args:
        run_1: folder of the run on half 1.
        run_2: folder of the run on half 2.
        data: folders of the training images; default: those that the runs used.
        ranked_by: quantity that ranks the pixels: the gradient of HR, or bicubic's absolute
            difference.
        against: folders of two runs of another recipe on the same halves; the difference of the
            gaps is written to fitting-change.csv.
        device: device to compute on, such as cuda:1; default: the CPU.
        out: folder to write fitting.png, .pdf, .csv, .json and fitting-images.csv (the errors of
            each image) to.
    """
    from srlongtail import parallel
    from srlongtail.provenance import provenance
    from srlongtail.results import write_table
    from srlongtail.studies import fitting as study
    from srlongtail.studies.writing import write_result

    with parallel.process_group():
        result = study.compute(
            run_1,
            run_2,
            data=flatten(data),
            ranked_by=ranked_by,
            device=device,
            against=against,
        )
        if not parallel.is_writer():
            return
        paths = [
            write_result(out / "fitting", study.draw, result, provenance(result.models, [])),
            write_table(out / "fitting-images.csv", result.table.rows),
        ]
        print(result.at_the_end().drop(columns="method").round(3).to_string(index=False))
        if result.change is not None:
            paths.append(write_table(out / "fitting-change.csv", result.change))
            last = result.change[result.change["iteration"] == result.change["iteration"].max()]
            print(last.drop(columns="method").round(3).to_string(index=False))
        for path in paths:
            print(path)


def weights(
    model: OneModel,
    image: Annotated[Positional[str], tyro.conf.arg(metavar="IMAGE")],
    /,
    *,
    white: float | None = None,
    out: Path = Path("."),
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Render the static, learnable and combined focal weights of an image.

    Args:
        model: name of a shipped network, checkpoint file, model card, or folder of SR images.
        image: HR image file, or the name of a built-in photo; LR is made from it.
        white: value that is white in images with more than 8 bits, such as 4095 for 12 bits.
        out: folder to write weights.png, .pdf, .csv, .json and .npz (the maps) to.
    """
    from srlongtail.image.dataset import open_image
    from srlongtail.models.sr_images import fit_to_images
    from srlongtail.provenance import provenance
    from srlongtail.results import write_maps
    from srlongtail.studies import weights as study
    from srlongtail.studies.restored import RestoredImage
    from srlongtail.studies.writing import write_result

    (loaded,) = model_options.load_any((model,))
    data = fit_to_images([loaded], open_image(image, loaded.scale, white=white))
    result = study.compute(loaded, RestoredImage(data[0]))
    print(write_result(out / "weights", study.draw, result, provenance([loaded], [data])))
    print(write_maps(out / "weights.npz", result.maps))


def attribute(
    model: OneModel,
    image: Annotated[Positional[str], tyro.conf.arg(metavar="IMAGE")],
    /,
    *,
    window: tuple[int, int, int] | None = None,
    lr: bool = False,
    published: bool = False,
    methods: bool = False,
    map_: Annotated[
        tuple[int, ...] | None,
        tyro.conf.arg(name="map", metavar="[STEP]", help_behavior_hint=""),
    ] = None,
    white: float | None = None,
    out: Path = Path("."),
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Map the LR pixels that influence a window of the SR image (LAM), and measure its DI.

    Args:
        model: name of a shipped network, or checkpoint file.
        image: HR image file, or the name of a built-in photo; LR is made from it.
        window: row, column and size in SR pixels; default: the window with the largest tail
            share.
        lr: the image is the LR image, the network's input.
        published: reproduce the published code of LAM exactly.
        methods: also compare LAM with captum's methods, and write methods.png, .pdf, .csv, .json,
            .npz and methods-curves.csv.
        map_: also map the number of LR pixels that influence each window of the image, one window
            every STEP SR pixels (default: their size), and write attribute-map.png, .pdf, .csv
            and .json; about 10 windows a second for a small network.
        white: value that is white in images with more than 8 bits, such as 4095 for 12 bits.
        out: folder to write attribute.png, .pdf, .csv, .json and .npz (the maps) to.
    """
    from srlongtail import parallel
    from srlongtail.studies import attribution_map
    from srlongtail.studies.attribute_image import (
        attribute_image,
        compare_image,
        read_restored,
        write_attribution,
    )

    if map_ is not None and len(map_) > 1:
        raise InputError(f"--map {' '.join(map(str, map_))}, expected at most one step, SR pixels")
    (loaded,) = model_options.load((model,))
    made = {"is_lr": lr, "published": published}
    with parallel.process_group():
        restored = read_restored(loaded, image, **made, white=white)
        result = attribute_image(loaded, restored, window, **made)
        if window is None:
            note(f"window {' '.join(map(str, result.window))}: {result.rule}")
        grid = None
        if map_ is not None:
            grid = attribution_map.compute(
                loaded,
                restored,
                size=result.window[2],
                step=map_[0] if map_ else None,
                has_hr=not lr,
                published=published,
            )
        if not parallel.is_writer():
            return
        paths = write_attribution(result, loaded, out, **made)
        if grid is not None:
            paths += write_attribution(grid, loaded, out, **made)
        if methods:
            compared = compare_image(loaded, restored, result.window)
            paths += write_attribution(compared, loaded, out, **made)
            print(compared.frame().round(3).to_string(index=False))
        for path in paths:
            print(path)


def inspect(model: OneModel, /, *, model_options: Models = NO_MODEL_OPTIONS) -> None:
    """Describe a checkpoint: its settings, how each was determined, and its size.

    Args:
        model: name of a shipped network, or checkpoint file.
    """
    from srlongtail.models.checkpoint import load_models
    from srlongtail.paper.complexity import describe

    (loaded,) = load_models((model,), **asdict(model_options))
    print(describe(loaded))


def compare(
    models: Annotated[
        Positional[tuple[str, ...]], tyro.conf.arg(metavar="A B", help_behavior_hint="")
    ],
    /,
    *,
    a: Repeatable = (),
    b: Repeatable = (),
    image: str | None = None,
    window: tuple[int, int, int] | None = None,
    out: Path = Path("."),
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Show where network B gains over network A: in which images, pixels and frequencies.

    Args:
        models: the two networks, unless --a and --b name them; every MODEL of evaluate is
            allowed.
        a: checkpoints of A from several seeds.
        b: checkpoints of B from several seeds.
        image: name of the image to map; default: the one with the largest gain or loss.
        window: row, column and size of a window of that image, in SR pixels; its rank among all
            windows of this size shows whether the crop was cherry-picked.
        out: folder to write compare.png, .pdf, .csv, .json and compare-images.csv to.
    """
    from srlongtail import parallel
    from srlongtail.provenance import provenance
    from srlongtail.results import write_table
    from srlongtail.studies import comparison
    from srlongtail.studies.writing import write_result

    names_a, names_b = flatten(a), flatten(b)
    if models and not (a or b) and len(models) == 2:
        names_a, names_b = models[:1], models[1:]
    elif models or not (a and b):
        given = " ".join((*models, *("--a" for _ in a[:1]), *("--b" for _ in b[:1])))
        raise InputError(f"compare {given}".strip() + ": expected A B, or --a M... --b M...")
    # A network on both sides is loaded once and named once.
    sources = tuple(dict.fromkeys((*names_a, *names_b)))
    with parallel.process_group():
        loaded = dict(zip(sources, model_options.load_any(sources, data_options), strict=True))
        datasets = data_options.open(loaded[sources[0]].scale)
        models_a, models_b = ([loaded[name] for name in names] for names in (names_a, names_b))
        result = comparison.compute(
            models_a, models_b, datasets, image, window, skip_bad=data_options.skip_bad
        )
        if not parallel.is_writer():
            return
        record = result.comparison.summary() | provenance(loaded.values(), datasets)
        png = write_result(out / "compare", comparison.draw, result, record)
        images = write_table(out / "compare-images.csv", result.comparison.per_image())
        print(result.message())
        for path in (png, images):
            print(path)


def claims(
    *,
    base: Repeatable = (),
    skip: Repeatable = (),
    fpl: Repeatable = (),
    fitting: Repeatable = (),
    out: Path = Path("."),
    data_options: Data = NO_DATA_OPTIONS,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Judge the paper's claims on networks and images: estimates, intervals and verdicts.

    Without networks, the shipped ones are judged; what is said about training then comes from the
    grid of several seeds that ships with them.

    Args:
        base: networks without skip, trained with L1; several are seeds.
        skip: networks that add bicubic, trained with L1.
        fpl: networks trained with FPL.
        fitting: folders that srlongtail fitting wrote to, for over- and under-fitting; each has
            two rows.
        out: folder to write claims.png, .pdf, .csv and .json to.
    """
    from srlongtail import parallel
    from srlongtail.diagnosis import claims as study
    from srlongtail.provenance import provenance
    from srlongtail.studies.writing import write_result

    arms = {"base": flatten(base), "skip": flatten(skip), "fpl": flatten(fpl)}
    given = any(arms.values())
    if not given:
        arms = {"base": ("fsrcnn-x4",), "skip": ("fsrcnn-skip-x4",), "fpl": ("fsrcnn-fpl-x4",)}
    for arm, names in arms.items():
        if not names:
            raise InputError(f"--{arm}: no network, expected one or more for each arm, or no arm")
    with parallel.process_group():
        loaded = iter(model_options.load(tuple(name for names in arms.values() for name in names)))
        models = {arm: [next(loaded) for _ in names] for arm, names in arms.items()}
        datasets = data_options.open(models["base"][0].scale)
        result = study.compute(
            models["base"],
            models["skip"],
            models["fpl"],
            datasets,
            grid=None if given else study.GRID,
            capacity=study.CAPACITY if study.CAPACITY.is_file() else None,
            fitting=flatten(fitting),
            skip_bad=data_options.skip_bad,
        )
        if not parallel.is_writer():
            return
        everyone = [model for arm in models.values() for model in arm]
        png = write_result(out / "claims", study.draw, result, provenance(everyone, datasets))
        print(result.frame().round(4).to_string(index=False))
        for limit in result.limits():
            print(textwrap.fill(limit, 80, initial_indent="- ", subsequent_indent="  "))
        print(png)


def restore(
    model: OneModel,
    images: Annotated[
        Positional[tuple[str, ...]],
        tyro.conf.arg(metavar="IMAGE...", help_behavior_hint=""),
    ],
    /,
    *,
    out: Path = Path("."),
    tile: int | None = None,
    pieces: int | None = None,
    white: float | None = None,
    model_options: Models = NO_MODEL_OPTIONS,
) -> None:
    """Restore LR images that have no HR image.

    Files that cannot be used are named first and the others are restored; the exit code is
    then 2.

    Args:
        model: name of a shipped network, checkpoint file or model card.
        images: LR images, as files or folders of files.
        out: folder to write NAME_x4.png (x2, ...) to, with 8 bits per channel; no input is
            overwritten.
        tile: side of the tiles to restore in, in LR pixels; they overlap by a quarter, and overlaps
            are averaged, so that values near a tile's border change; default: the whole image, or
            pieces of it if memory is short.
        pieces: side of the pieces to restore in, in LR pixels, a multiple of 32; each is computed
            with 64 pixels around it, which gives the values of the whole image if no SR pixel
            depends on LR pixels farther away.
        white: value that is white in images with more than 8 bits, such as 4095 for 12 bits.
    """
    from srlongtail import parallel
    from srlongtail.image.tiles import Pieces, Tiling
    from srlongtail.restoration import restore_files

    if not images:
        raise InputError("no image named, expected LR image files, or folders of them")
    if tile is not None and tile < 8:
        raise InputError(f"--tile {tile}, expected at least 8 LR pixels")
    if pieces is not None and (pieces < 32 or pieces % 32):
        raise InputError(f"--pieces {pieces}, expected a multiple of 32 LR pixels")
    if tile and pieces:
        raise InputError("--tile and --pieces exclude each other")
    parts = Tiling(tile, tile - tile // 4) if tile else Pieces(pieces) if pieces else None
    with parallel.process_group():
        (loaded,) = model_options.load((model,))
        written, failed = restore_files(loaded, images, out, tile=parts, white=white)
        if not parallel.is_writer():
            return
        for path in written:
            print(path)
        if failed:
            names = ", ".join(map(str, failed))
            raise InputError(
                f"{len(failed)} of {len(failed) + len(written)} images not restored: {names}"
            )


def _some(models: tuple[str, ...]) -> tuple[str, ...]:
    if not models:
        raise InputError(
            "no model named, expected bicubic, a shipped network (srlongtail zoo list), or a "
            "checkpoint file"
        )
    return models
