"""The comparison viewer in Chromium: by mouse, touch and keyboard, with the package's AD values."""

import base64
import io

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from srlongtail.image.dataset import photos
from srlongtail.image.io import quantize
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.difference import absolute_difference
from srlongtail.longtail.tail import gradient_magnitude, split_by_rank

TOP, LEFT, SIZE = 40, 120, 160  # what is shown of the photo


def data_uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def levels(image: torch.Tensor) -> np.ndarray:
    return quantize(image).mul(255).round().byte().permute(1, 2, 0).numpy()


@pytest.fixture(scope="module")
def shown():
    """Part of a photo, bicubic, and bicubic with noise as a network."""
    pair = photos(4)[1]
    noise = torch.randn(pair.hr.shape, generator=torch.Generator().manual_seed(0))
    bicubic = upsample_bicubic(pair.lr[None], 4)[0]
    images = {"HR": pair.hr, "bicubic": bicubic, "<b>net</b>": bicubic + 0.05 * noise}
    ranks = torch.zeros(pair.hr[0].numel(), dtype=torch.uint8)
    for tenth, pixels in enumerate(split_by_rank(gradient_magnitude(pair.hr)), start=1):
        ranks[pixels] = tenth
    part = (..., slice(TOP, TOP + SIZE), slice(LEFT, LEFT + SIZE))
    return {name: quantize(image[part]) for name, image in images.items()}, ranks.reshape(
        pair.hr.shape[-2:]
    )[part]


def values_of(shown):
    images, tenth = shown
    kinds = ("hr", "bicubic", "network")
    layers = [
        {"name": name, "kind": kind, "url": data_uri(levels(image))}
        for kind, (name, image) in zip(kinds, images.items(), strict=True)
    ]
    window = {"label": "largest error, net", "row": 100, "column": 200, "size": 32}
    outside = {"label": "outside", "row": 0, "column": 0, "size": 16, "percentile": 1.0}
    chelsea = {
        "name": "chelsea",
        "dataset": "photos",
        "height": SIZE,
        "width": SIZE,
        "row": TOP,
        "column": LEFT,
        "scale": 4,
        "layers": layers,
        "tenth": data_uri(tenth.numpy()),
        "windows": [{**window, "percentile": 99.87}, outside],
    }
    other = {**chelsea, "name": "other", "layers": layers[:2], "tenth": None, "windows": []}
    return {"images": [chelsea, other], "index": 0, "window": None}


@pytest.fixture
def page(open_widget, shown):
    page = open_widget("viewer.js", values_of(shown))
    page.wait_for_selector("[data-view]")
    return page


def readout(page) -> list[list[str]]:
    return page.eval_on_selector_all(
        ".srl-readout tbody tr",
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))",
    )


def zoom_of(page) -> int:
    """Screen pixels per pixel of the image, once the last change is drawn."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return int(page.inner_text(".srl-zoom").rstrip("x"))


def name_shown(page) -> str:
    return page.inner_text(".srl-name >> nth=0")


def drawn(page, row: int, column: int) -> list[int]:
    """What the first pane has at the middle of a pixel of the image; row and column are in it."""
    return page.evaluate(
        """async ([row, column]) => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          const canvas = document.querySelector(".srl-pane canvas");
          const zoom = Number(document.querySelector(".srl-zoom").textContent.replace("x", ""));
          const x = (canvas.width - 160 * zoom) / 2 + (column + 0.5) * zoom;
          const y = (canvas.height - 160 * zoom) / 2 + (row + 0.5) * zoom;
          return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.slice(0, 3)];
        }""",
        [row, column],
    )


def test_values_are_those_of_the_package(page, shown):
    images, tenth = shown
    differences = {
        name: absolute_difference(image, images["HR"])
        for name, image in images.items()
        if name != "HR"
    }
    pane = page.locator(".srl-pane").bounding_box()
    zoom = zoom_of(page)
    for row, column in ((0, 0), (17, 150), (80, 81), (159, 159), (33, 60)):
        page.mouse.move(
            pane["x"] + pane["width"] / 2 + (column - SIZE / 2 + 0.5) * zoom,
            pane["y"] + pane["height"] / 2 + (row - SIZE / 2 + 0.5) * zoom,
        )
        caption = page.inner_text(".srl-readout caption")
        assert f"row {TOP + row}, column {LEFT + column}" in caption
        assert f"tenth {int(tenth[row, column])} of 10" in caption
        for name, *rgb, ad in readout(page):
            assert rgb == [str(level) for level in levels(images[name])[row, column]]
            if name == "HR":
                assert ad == ""
            else:
                expected = float(differences[name][row, column])
                assert float(ad) == pytest.approx(expected, abs=0.0051)


def test_keys_choose_what_is_drawn(page, shown):
    images, _ = shown
    page.focus(".srl-stage")
    assert name_shown(page) == "<b>net</b>"  # as text
    for key, name in (("1", "HR"), ("2", "bicubic"), ("3", "<b>net</b>")):
        page.keyboard.press(key)
        assert name_shown(page) == name
        assert drawn(page, 20, 30) == list(levels(images[name])[20, 30])
    page.keyboard.press("x")
    assert name_shown(page) == "bicubic"
    page.keyboard.press("Shift+Digit3")
    assert name_shown(page) == "AD of <b>net</b>"
    top = float(page.input_value(".srl-legend select"))
    ad = absolute_difference(images["<b>net</b>"], images["HR"])[20, 30]
    viridis = matplotlib.colormaps["viridis"](float(ad) / top, bytes=True)
    assert drawn(page, 20, 30) == list(viridis[:3])
    page.keyboard.press("d")
    assert name_shown(page) == "<b>net</b>"


def test_color_map_is_matplotlibs(page):
    bar = page.eval_on_selector(
        ".srl-colors",
        "bar => [...bar.getContext('2d').getImageData(0, 0, 256, 1).data]",
    )
    expected = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    np.testing.assert_array_equal(np.reshape(bar, (256, 4)), expected)


def test_cursor_zoom_and_live_region(page):
    page.focus(".srl-stage")
    page.keyboard.press("ArrowRight")  # shows the cursor in the middle
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    where = f"row {TOP + SIZE // 2 + 2}, column {LEFT + SIZE // 2 + 1}"
    assert where in page.inner_text(".srl-readout caption")
    assert page.text_content(".srl-status") != where  # it waits for the last of the keys
    page.wait_for_function(
        "where => document.querySelector('.srl-status').textContent.startsWith(where)", arg=where
    )
    before = zoom_of(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert zoom_of(page) > before + 1
    page.keyboard.press("0")
    assert zoom_of(page) == before


def test_swipe_by_mouse_and_keyboard(page, shown):
    images, _ = shown
    page.click("button[data-mode=swipe]")
    assert [name_shown(page), page.inner_text(".srl-right")] == ["HR", "<b>net</b>"]
    assert drawn(page, 20, 10) == list(levels(images["HR"])[20, 10])
    assert drawn(page, 20, 150) == list(levels(images["<b>net</b>"])[20, 150])
    box = page.locator(".srl-divider").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 40
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 480, y, steps=4)
    page.mouse.up()
    assert drawn(page, 20, 10) == list(levels(images["<b>net</b>"])[20, 10])
    page.focus(".srl-divider")
    page.keyboard.press("End")
    assert drawn(page, 20, 150) == list(levels(images["HR"])[20, 150])
    assert page.get_attribute(".srl-divider", "aria-valuenow") == "100"
    page.keyboard.press("2")
    assert page.inner_text(".srl-right") == "bicubic"


def boxes(page) -> list[list[int]]:
    """Where the outline of the windows is in each pane."""
    return page.evaluate(
        """async () => {
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          return [...document.querySelectorAll(".srl-pane canvas")].map((canvas) => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const found = [];
            for (let i = 0; i < data.length; i += 4) {
              if (data[i] === 0xd5 && data[i + 1] === 0x5e && data[i + 2] === 0) found.push(i / 4);
            }
            const columns = found.map((pixel) => pixel % width);
            return [found[0], found.at(-1), Math.min(...columns), Math.max(...columns)];
          });
        }"""
    )


def test_panes_move_together(page):
    page.click("button[data-mode=side]")
    assert page.locator(".srl-pane").count() == 3
    page.keyboard.press("Shift+Digit2")
    assert page.locator(".srl-pane").count() == 4
    before = boxes(page)
    assert len(before) == 4
    pane = page.locator(".srl-pane").nth(1).bounding_box()
    x, y = pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2
    page.keyboard.down("Control")
    page.mouse.move(x, y)
    page.mouse.wheel(0, -120)
    page.keyboard.up("Control")
    zoomed = boxes(page)
    page.mouse.down()
    page.mouse.move(x + 20, y + 10, steps=3)
    page.mouse.up()
    moved = boxes(page)
    assert before[0] != zoomed[0] != moved[0]
    for found in (before, zoomed, moved):
        assert all(box == found[0] for box in found)


def test_windows_are_buttons_and_boxes(page):
    (button,) = page.query_selector_all(".srl-windows button")  # the one outside is left out
    assert "above 99.8% of windows" in button.inner_text()
    page.focus(".srl-stage")
    page.keyboard.press("w")
    assert page.evaluate("model.values.window") == {"row": 100, "column": 200, "size": 32}
    assert page.evaluate("model.saved") == 1
    assert page.get_attribute(".srl-windows button", "aria-pressed") == "true"
    page.keyboard.press("0")
    page.evaluate("model.set('window', null)")
    pane = page.locator(".srl-pane").bounding_box()
    zoom = zoom_of(page)
    page.mouse.click(
        pane["x"] + pane["width"] / 2 + (200 + 16 - LEFT - SIZE / 2) * zoom,
        pane["y"] + pane["height"] / 2 + (100 + 16 - TOP - SIZE / 2) * zoom,
    )
    assert page.evaluate("model.values.window.row") == 100


def test_the_page_chooses_image_and_window(page):
    page.evaluate("model.set('index', 1)")
    page.evaluate("model.set('window', {row: 60, column: 140, size: 20})")
    page.wait_for_function("document.querySelectorAll('.srl-readout tbody tr').length === 2")
    zoom = zoom_of(page)
    assert zoom >= 8
    page.select_option(".srl-bar select", "0")
    page.wait_for_function("document.querySelectorAll('.srl-readout tbody tr').length === 3")
    assert page.evaluate("model.values.index") == 0


def test_pinch_on_a_narrow_screen(open_widget, shown):
    page = open_widget(
        "viewer.js",
        values_of(shown),
        viewport={"width": 400, "height": 800},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
    )
    page.wait_for_selector("[data-view]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert zoom_of(page) == 4  # screen pixels: 160 pixels on 320 of CSS
    pane = page.locator(".srl-pane").bounding_box()
    x, y = pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2
    session = page.context.new_cdp_session(page)
    for kind, apart in (
        ("touchStart", 40),
        ("touchMove", 60),
        ("touchMove", 90),
        ("touchMove", 120),
    ):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function("document.querySelector('.srl-zoom').textContent === '12x'")


def test_leaves_nothing_behind(page):
    page.evaluate("cleanup()")
    assert page.inner_html("#here") == ""
    assert page.evaluate("Object.values(model.listeners).flat().length") == 0
