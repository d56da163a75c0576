"""The record needed to repeat a run: command, settings, models, data, versions."""

import importlib.metadata
import platform
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from srlongtail import __version__
from srlongtail.image.dataset import ImageSet
from srlongtail.models.sr_images import AnyModel

_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "scikit-image")


def provenance(
    models: Iterable[AnyModel], datasets: Iterable[ImageSet], **settings: Any
) -> dict[str, Any]:
    """Return the record for the `.json` beside a result.

    It holds no date, so a repeated run writes the same bytes.

    >>> from srlongtail.models.sr_model import bicubic
    >>> sorted(provenance([bicubic(4)], [], seed=0))
    ['command', 'data', 'models', 'settings', 'training', 'versions']
    """
    models = list(models)
    return {
        "command": command_line(),
        "settings": settings,
        "training": training_budget(models),
        "models": [model.record() for model in models],
        "data": [_describe_data(data) for data in datasets],
        "versions": versions(),
    }


def command_line() -> str:
    """Return the command that this process runs, as a person would type it."""
    return shlex.join(["srlongtail", *sys.argv[1:]])


def training_budget(models: Iterable[AnyModel]) -> str:
    """Return each network's training iterations and images, for captions; empty if unknown.

    >>> from dataclasses import replace
    >>> from srlongtail.models.catalog import new_model
    >>> from srlongtail.models.facts import Training
    >>> model = new_model("fsrcnn", 4)
    >>> training = Training(8000, data={"images": 688})
    >>> model.provenance = replace(model.provenance, training=training)
    >>> training_budget([model])
    'Trained: fsrcnn 8,000 iterations on 688 images.'
    """
    budgets = []
    for model in models:
        training = model.provenance.training
        if training is not None:
            on = f" on {training.images} images" if training.images else ""
            budgets.append(f"{model.name} {training.iterations:,} iterations{on}")
    return f"Trained: {'; '.join(budgets)}." if budgets else ""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect the numbers."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"srlongtail": __version__, "python": platform.python_version(), **found}


def _describe_data(data: ImageSet) -> dict[str, Any]:
    return {
        "name": data.name,
        "scale": data.scale,
        "images": len(data),
        "sha256": data.sha256,
        "lr": {**asdict(data.lr_source), "degradation": repr(data.degradation)},
    }
