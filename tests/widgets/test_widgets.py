"""The Python side of the widgets."""

import base64
import io
import runpy
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters, focal_map
from srlongtail.image.dataset import ImagePair
from srlongtail.training.recipe import write_recipe
from srlongtail.widgets import ComparisonViewer, FocalDials, RunWatcher, WindowPicker, base


def decoded(uri: str) -> np.ndarray:
    kind, data = uri.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def enlarge(lr):
    return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(0)
    hr = torch.randint(256, (3, 48, 64), generator=generator) / 255
    return ImagePair("noise", hr, torch.rand(3, 12, 16, generator=generator), "made")


@pytest.fixture
def widgets(pair, tmp_path):
    return [
        ComparisonViewer({"nearest": enlarge}, pair),
        WindowPicker(pair.hr),
        FocalDials(*torch.rand(3, 1, 3, 8, 8)),
        RunWatcher(tmp_path, every_s=None),
    ]


def test_widgets_have_a_static_picture(widgets):
    for widget in widgets:
        data, _ = widget._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        with Image.open(io.BytesIO(base64.b64decode(data[widget.picture_type]))) as image:
            assert Image.MIME[image.format] == widget.picture_type
            assert 0 < image.width <= 900


def test_every_widget_has_a_script_and_the_style(widgets):
    for widget in widgets:
        assert "export default" in widget._esm
        assert ".srl-widget" in widget._css


def test_without_anywidget_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"pip install 'srlongtail\[notebooks\]'"):
        runpy.run_path(base.__file__)


def test_viewer_sends_pixels_without_loss(pair):
    windows = {"noise": [(8, 4, 16)]}
    (image,) = ComparisonViewer({"nearest": enlarge, "bicubic": enlarge}, pair, windows).images
    assert (image["name"], image["dataset"], image["scale"]) == ("noise", "made", 4)
    assert [layer["kind"] for layer in image["layers"]] == ["hr", "bicubic", "network"]
    hr = (pair.hr * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(decoded(image["layers"][0]["url"]), hr)
    nearest = np.floor(enlarge(pair.lr).double().numpy() * 255 + 0.5).transpose(1, 2, 0)
    np.testing.assert_array_equal(decoded(image["layers"][2]["url"]), nearest)
    tenths = decoded(image["tenth"])[..., 0]
    assert np.bincount(tenths.ravel()).tolist() == [0, 308, 308, *[307] * 8]
    assert image["windows"] == [{"label": "window 1", "row": 8, "column": 4, "size": 16}]


def test_viewer_names_what_is_wrong(pair):
    with pytest.raises(InputError, match="pairs: none, expected one image or more"):
        ComparisonViewer({"nearest": enlarge}, [])
    with pytest.raises(InputError, match="windows of other, expected noise"):
        ComparisonViewer({"nearest": enlarge}, pair, {"other": [(0, 0, 8)]})
    with pytest.raises(InputError, match=r"window 40 0 16 .*of noise"):
        ComparisonViewer({"nearest": enlarge}, pair, {"noise": [(40, 0, 16)]})
    with pytest.raises(InputError, match=r"same: SR of \(3, 12, 16\) for noise"):
        ComparisonViewer({"same": lambda lr: lr}, pair)


def test_picker_tells_every_new_window(pair):
    picker, picked = WindowPicker(pair.hr, (0, 0, 16), "noise"), []
    picker.on_pick(picked.append)
    picker.set_state({"window": [8, 24, 16]})  # what arrives from the browser
    assert picked == [(8, 24, 16)]
    with pytest.raises(InputError, match="of noise"):
        picker.window = (40, 0, 16)
    assert picker.window == (8, 24, 16)
    with pytest.raises(InputError, match=r"shape \(1, 4, 4\)"):
        WindowPicker(torch.rand(1, 4, 4))


def test_output_follows_a_value(pair):
    picker, shown = WindowPicker(pair.hr, (0, 0, 16)), []
    box = picker.follow("window", shown.append)
    assert box.children[0] is picker
    picker.window = (1, 2, 16)
    assert shown == [(0, 0, 16), (1, 2, 16)]
    assert {"application/vnd.jupyter.widget-view+json", "image/jpeg"} < set(box._repr_mimebundle_())


def test_dials_turn_the_weights_of_the_loss():
    hr, bicubic, sr = torch.rand(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    dials = FocalDials(hr, bicubic, sr)
    assert torch.equal(dials.weights, focal_map(sr, hr, bicubic))
    dials.set_state({"gamma_sp": 2.0, "scope": "image", "learnable": False})
    expected = FocalParameters(gamma_sp=2.0, scope="image")
    assert dials.parameters == expected
    weights = focal_map(sr, hr, bicubic, parameters=expected, learnable=False)
    assert torch.equal(dials.weights, weights)
    assert dials.maps[0]["high"] == pytest.approx(float(weights[0].mean(0).max()))
    # log2(weight) from -2 to 2 runs over matplotlib's 256 colors
    viridis = pytest.importorskip("matplotlib").colormaps["viridis"]
    place = (np.log2(weights[1].mean(0).double().numpy()) + 2) / 4
    drawn = decoded(dials.maps[1]["url"])
    np.testing.assert_array_equal(drawn, viridis(place, bytes=True)[..., :3])
    dials.static = False
    assert dials.learnable  # one weight is always used
    with pytest.raises(InputError, match="expected one shape"):
        FocalDials(hr, bicubic, sr[:1])


LOG = """iteration,loss,validation_head_ad_levels,validation_tail_ad_levels,\
training_head_ad_levels,training_tail_ad_levels
0,,3.0,16.0,3.2,17.0
1,0.04,,,,
"""


def test_watcher_follows_a_log(small, tmp_path):
    watcher = RunWatcher(tmp_path, every_s=0.05)
    assert watcher.message == f"waiting for {tmp_path / 'log.csv'}"
    write_recipe(tmp_path / "recipe.toml", small)
    (tmp_path / "log.csv").write_text(LOG)
    try:
        wait_for(lambda: watcher.iteration == 1)
        assert watcher.loss == [[1, 0.04]]
        assert watcher.bands["training_tail_ad_levels"] == [[0, 17.0]]
        (tmp_path / "log.csv").write_text(f"{LOG}12,0.02,2.5,15.0,2.6,15.5\n")
        wait_for(lambda: watcher.is_complete)
        assert watcher.message == (
            "iteration 12 of 12, loss 0.02, validation: head 2.50, tail 15.00 levels"
        )
    finally:
        watcher.close()
    with pytest.raises(InputError, match="every_s 0"):
        RunWatcher(tmp_path, every_s=0)


def test_watcher_thins_a_long_log(small, tmp_path):
    write_recipe(tmp_path / "recipe.toml", small)
    header = LOG.splitlines()[0]
    rows = [f"{iteration},{iteration % 2},,,," for iteration in range(1, 1001)]
    (tmp_path / "log.csv").write_text("\n".join([header, *rows, ""]))
    watcher = RunWatcher(tmp_path, every_s=None)
    assert len(watcher.loss) == 334
    assert watcher.loss[0] == [3, pytest.approx(2 / 3)]
    assert watcher.loss[-1] == [1000, 0.0]


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
