"""Load everything that can be scored: networks, and folders of SR images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from srlongtail.errors import InputError, Parameter
from srlongtail.image.layouts import folder_says, images_below
from srlongtail.models.card import ModelCard
from srlongtail.models.checkpoint import load_models, tell_apart
from srlongtail.models.facts import Provenance
from srlongtail.models.find import RUN_CHECKPOINT, find_file
from srlongtail.models.sr_images import AnyModel, SRImages
from srlongtail.models.sr_model import WITHOUT_WEIGHTS

# The settings that a card of SR images may have.
_OF_IMAGES = {"weights", "scale", "arm", "degradation", "name", "file"}


def load_any(
    sources: Sequence[str | ModelCard],
    *,
    scale: int | None = None,
    data_scales: Callable[[], set[int]] = set,
    **options: Any,
) -> list[AnyModel]:
    """Load models of one scale, networks as well as folders of SR images; see `load_models`.

    The scale of SR images is that of the networks beside them. Without networks, it is given by
    `scale`, the card, the name of the folder or of its files, or the data set, else it is 4.

    Args:
        sources: As for `load_models`; also folders of SR images, and model cards whose `weights`
            are such a folder.
        scale: SR pixels per LR pixel, if no network determines it.
        data_scales: Returns the scales of the LR images in the data sets.
        options: Options of the networks.

    Returns:
        The models, in the order of `sources`.

    Raises:
        InputError: See `load_models`; or the card of SR images has settings of networks.
    """
    folders = {
        index: card
        for index, source in enumerate(sources)
        if (card := _card_of_images(source)) is not None
    }
    others = [source for index, source in enumerate(sources) if index not in folders]
    has_network = any(not (isinstance(s, str) and s in WITHOUT_WEIGHTS) for s in others)
    by = "option" if scale is not None else ""
    if folders and not has_network:
        cards = list(folders.values())
        for option, value in options.items():
            if option not in ("device", "any_scale", "allow_code") and value is not None:
                raise InputError(
                    f"{cards[0].label}: SR images, expected no ", Parameter(option, value)
                )
        if scale is None:
            scale, by = _scale_of_images(cards, data_scales)
    models: list[AnyModel] = [*load_models(others, scale=scale, **options)] if others else []
    if has_network:
        scale, by = models[0].scale, "other models"
    for index, card in folders.items():
        assert scale is not None, "a network has a scale, and without any it was found"
        models.insert(index, _images(card, scale, by))
    tell_apart(models, sources)
    return models


def _card_of_images(source: str | ModelCard) -> ModelCard | None:
    """Return the card of a folder of SR images, or None if the source is not one."""
    if isinstance(source, str):
        path = find_file(source)
        if path is not None and path.suffix == ".toml":
            source = ModelCard.read(path)
        elif path is None and source not in WITHOUT_WEIGHTS and os.path.isdir(source):
            source = ModelCard(weights=source)
        else:
            return None
    folder = Path(source.weights) if source.weights is not None else None
    if folder is None or not os.path.isdir(folder) or (folder / RUN_CHECKPOINT).is_file():
        return None
    return source if images_below(folder, depth=1) else None


def _scale_of_images(
    cards: Sequence[ModelCard], data_scales: Callable[[], set[int]]
) -> tuple[int, str]:
    """Return the first scale that is unambiguous, and what determines it."""
    folders = [Path(card.weights or "") for card in cards]
    of_files = {
        file.names[-1].scale or folder_says(file.path.stem).scale
        for folder in folders
        for file in images_below(folder, depth=1)
    }
    stated: dict[str, set[int | None]] = {
        "card": {card.scale for card in cards},
        "names of the files": of_files,
        "folder's name": {folder_says(folder.resolve().name).scale for folder in folders},
        "LR images of the data set": {*data_scales()},
    }
    for by, scales in stated.items():
        known = scales - {None}
        if len(known) == 1:
            return next(scale for scale in known if scale is not None), by
    return 4, "default"


def _images(card: ModelCard, scale: int, by: str) -> SRImages:
    default = ModelCard(weights=card.weights)
    for key in vars(card):
        if key not in _OF_IMAGES and getattr(card, key) != getattr(default, key):
            raise InputError(f"{card.label}: {key} for SR images, expected it only for a network")
    if card.scale not in (None, scale):
        raise InputError(
            f"{card.label}: scale is {card.scale} by the card, but {scale} by the {by}"
        )
    return SRImages(
        card.weights or "",
        scale,
        name=card.name or (card.file.stem if card.file else None),
        provenance=Provenance(
            arm=card.arm, degradation=card.degradation, determined_by={"scale": by}
        ),
    )
