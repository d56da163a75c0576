"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
import torch

# The networks of the tests are too small to share out: on a busy machine several threads that
# wait for each other after every operation take many times as long as one.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with research images and the published checkpoint, beside the repository."""
    default = Path(__file__).resolve().parents[1].parent / "shared"
    folder = Path(os.environ.get("SRLONGTAIL_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set SRLONGTAIL_SHARED")
    return folder
