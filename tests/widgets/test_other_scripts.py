"""Window picker, dials and run watcher in Chromium: by mouse and keyboard."""

import os
from pathlib import Path

import pytest
import torch

from srlongtail.image.dataset import ImagePair, photos
from srlongtail.widgets import ComparisonViewer, FocalDials, RunWatcher, WindowPicker


def state_of(widget, *names):
    """What the script is told of a widget."""
    return {name: widget.get_state(name)[name] for name in names}


@pytest.fixture
def picker(open_widget):
    chelsea = photos(4)[1]
    widget = WindowPicker(chelsea.hr, (100, 120, 64), "chelsea")
    return open_widget("picker.js", state_of(widget, "url", "name", "height", "width", "window"))


def window_of(page, previous):
    """The window that Python gets after the last event; it waits for one that differs."""
    page.wait_for_function("old => model.values.window.join() !== old.join()", arg=list(previous))
    return page.evaluate("model.values.window")


def test_picker_by_mouse(picker):
    photo = picker.locator(".srl-photo img").bounding_box()
    share = photo["width"] / picker.evaluate("model.values.width")

    def at(row, column):
        return photo["x"] + column * share, photo["y"] + row * share

    picker.mouse.click(*at(200, 240))
    assert window_of(picker, (100, 120, 64)) == pytest.approx([168, 208, 64], abs=1)
    picker.mouse.move(*at(200, 240))
    picker.mouse.down()
    picker.mouse.move(*at(150, 250), steps=3)
    saved = picker.evaluate("model.saved")
    picker.mouse.up()
    moved = window_of(picker, (168, 208, 64))
    assert moved == pytest.approx([118, 218, 64], abs=1)
    assert saved == 1  # Python hears of the end of a drag alone
    picker.mouse.move(*at(20, 30))
    picker.mouse.down()
    picker.mouse.move(*at(60, 50), steps=3)
    picker.mouse.up()
    assert window_of(picker, moved) == pytest.approx([20, 30, 40], abs=1)
    picker.mouse.click(*at(1, 1))
    assert window_of(picker, (20, 30, 40))[:2] == [0, 0]  # no farther than the corner


def test_picker_by_keyboard(picker):
    picker.focus(".srl-photo")
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowDown", "+"):
        picker.keyboard.press(key)
    assert window_of(picker, (100, 120, 64)) == [106, 120, 68]
    assert picker.evaluate("model.saved") == 1
    picker.wait_for_function(
        "() => document.querySelector('.srl-status').textContent.includes('row 106')"
    )
    picker.fill("[data-part='2']", "9999")
    picker.press("[data-part='2']", "Enter")
    height, width = picker.evaluate("[model.values.height, model.values.width]")
    assert window_of(picker, (106, 120, 68))[2] == min(height, width)
    picker.evaluate("model.set('window', [1, 2, 30])")  # from Python
    assert picker.input_value("[data-part='1']") == "2"


@pytest.fixture
def dials(open_widget):
    images = torch.rand(3, 2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    widget = FocalDials(*images)
    names = ("alpha_sp", "gamma_sp", "alpha_lp", "gamma_lp", "scope", "static", "learnable")
    state = state_of(widget, *names, "patches", "maps", "legend")
    return widget, open_widget("dials.js", state)


def test_dials_send_what_is_turned_and_show_what_comes_back(dials):
    widget, page = dials
    page.focus("[data-dial=gamma_sp]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    # The second change waits for the maps of the first.
    assert page.evaluate("model.values.gamma_sp") == pytest.approx(1.1)
    widget.gamma_sp = 1.1
    page.evaluate("maps => model.set('maps', maps)", widget.maps)
    assert page.evaluate("model.values.gamma_sp") == pytest.approx(1.2)
    widget.gamma_sp = 1.2
    page.evaluate("maps => model.set('maps', maps)", widget.maps)
    caption = page.inner_text("figure:nth-of-type(2) figcaption")
    weights = widget.weights[1].mean(0)
    assert caption == (
        f"weights {weights.min():.2f} to {weights.max():.2f}, mean {weights.mean():.2f}"
    )
    page.select_option("[data-dial=scope]", "image")
    page.evaluate("maps => model.set('maps', [...maps])", widget.maps)
    page.uncheck("[data-dial=learnable]")
    assert page.evaluate("[model.values.scope, model.values.learnable]") == ["image", False]
    page.evaluate("model.set('learnable', true)")  # from Python
    page.evaluate("maps => model.set('maps', [...maps])", widget.maps)
    assert page.is_checked("[data-dial=learnable]")


def test_watcher_grows_and_is_read_by_keyboard(open_widget, tmp_path):
    widget = RunWatcher(tmp_path / "ours", every_s=None)
    names = ("name", "message", "iteration", "iterations", "loss", "bands")
    page = open_widget("watcher.js", state_of(widget, *names))
    assert "waiting for" in page.inner_text(".srl-note")
    page.evaluate(
        """() => {
          model.set("iterations", 40);
          model.set("iteration", 30);
          model.set("loss", [[10, 0.05], [20, 0.03], [30, 0.025]]);
          model.set("bands", { validation_tail_ad_levels: [[0, 16], [30, 14.25]] });
        }"""
    )
    assert page.get_attribute("progress", "value") == "30"
    assert "loss 0.02500" in page.get_attribute("svg >> nth=0", "aria-label")
    page.focus("svg >> nth=1")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("figcaption >> nth=1") == ("iteration 30: tail, validation 14.25 levels")
    page.keyboard.press("Home")
    assert page.inner_text("figcaption >> nth=1").startswith("iteration 0:")


def test_narrow_screens_and_leaving(open_widget, tmp_path, picker, dials):
    _, page = dials
    for shown in (picker, page):
        shown.set_viewport_size({"width": 400, "height": 800})
        assert shown.evaluate("document.documentElement.scrollWidth") <= 400
        shown.evaluate("cleanup()")
        assert shown.inner_html("#here") == ""
        assert shown.evaluate("Object.values(model.listeners).flat().length") == 0


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_widget, scheme, tmp_path):
    """With axe-core: `npm install axe-core` in the repository, or its file in AXE_CORE."""
    default = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
    axe = Path(os.environ.get("AXE_CORE", default))
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm install axe-core")
    image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    shown = {
        "picker.js": WindowPicker(image[0]),
        "dials.js": FocalDials(image, image / 2, image),
        "watcher.js": RunWatcher(tmp_path / "ours", every_s=None),
        "viewer.js": ComparisonViewer(
            {"nearest": lambda lr: lr.repeat_interleave(4, -1).repeat_interleave(4, -2)},
            ImagePair("noise", image[0], image[0, :, ::4, ::4]),
            {"noise": [(2, 3, 8)]},
        ),
    }
    for script, widget in shown.items():
        names = [name for name in widget.trait_names(sync=True) if not name.startswith("_")]
        state = {n: v for n, v in widget.get_state(names).items() if n not in ("layout", "tooltip")}
        page = open_widget(script, state, color_scheme=scheme)
        page.evaluate(axe.read_text("utf-8"))
        found = page.evaluate("axe.run(document.getElementById('here'))")
        serious = [
            (script, rule["id"], [node["html"][:200] for node in rule["nodes"]])
            for rule in found["violations"]
            if rule["impact"] in ("serious", "critical")
        ]
        assert serious == []
