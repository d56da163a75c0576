"""Records are valid JSON, and what is not finite stays readable."""

import json
import math

import numpy as np
import pytest

from srlongtail.results import as_json, write_record


def test_a_record_is_valid_json_whatever_its_numbers(tmp_path):
    record = {
        "psnr_db": np.float64("inf"),
        "deep": [{"gain_db": math.nan, "loss": -math.inf}, (1, 2.5)],
        "text": "nan",
        "count": 3,
        "none": None,
        "yes": True,
    }
    path = write_record(tmp_path / "a.json", record)
    read = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert read == {
        "psnr_db": "infinite",
        "deep": [{"gain_db": None, "loss": "-infinite"}, [1, 2.5]],
        "text": "nan",
        "count": 3,
        "none": None,
        "yes": True,
    }
    assert as_json(read) == read
