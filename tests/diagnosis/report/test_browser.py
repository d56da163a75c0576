"""The page in a browser: nothing fails, nothing is fetched, all can be used."""

import os
from pathlib import Path

import pytest

from srlongtail.diagnosis.report import page as report
from srlongtail.diagnosis.report import survey
from srlongtail.models.sr_images import SRImages

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def open_page(chromium):
    """A function that opens a file; in the end nothing may have failed or been fetched."""
    problems, contexts = [], []

    def show(path, width=1000, **options):
        context = chromium.new_context(viewport={"width": width, "height": 800}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: problems.append(said.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))

        def fetched(request):
            if not request.url.startswith(("data:", "blob:")) and request.url != path.as_uri():
                problems.append(request.url)

        page.on("request", fetched)
        page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            page.wait_for_selector("#viewer canvas")
        return page

    yield show
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_does_not_scroll_sideways(open_page, written, width):
    page = open_page(written.page, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Text in figures: 7 pt in a drawing of 495 pt.
    drawn = page.evaluate("document.querySelector('#tenths svg').getBoundingClientRect().width")
    assert drawn / 495 * 7 > 7.5


def test_tables_sort_and_filter(open_page, written):
    page = open_page(written.page)

    def column(number):
        cells = f"#images tbody tr:not([hidden]) > :nth-child({number})"
        return page.locator(cells).all_inner_texts()

    heading = page.locator("#images th", has_text="PSNR, RGB")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in column(4)]
    assert values == sorted(values)
    page.keyboard.press("Enter")  # the button has the focus
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(4)] == values[::-1]
    page.get_by_label("Show rows with").fill("chelsea bicubic-m")
    assert column(1) == ["chelsea"]
    assert page.locator("#filter-count").inner_text() == "1 of 4 rows"


def test_a_window_is_shown_in_the_viewer(open_page, written, found):
    page = open_page(written.page)
    assert page.locator("#stills").is_hidden()
    window = found.windows[0]
    page.locator("button[data-window]").first.click()
    shown = page.locator("#viewer select").first.locator("option:checked").inner_text()
    assert shown.startswith(window.image)
    assert page.evaluate("document.querySelector('#viewer').contains(document.activeElement)")


def test_the_first_stop_of_the_keyboard_leads_to_the_numbers(open_page, written):
    page = open_page(written.page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the numbers"
    page.keyboard.press("Enter")
    assert page.url.endswith("#numbers")


def test_without_scripts_all_is_there(open_page, written):
    page = open_page(written.page, java_script_enabled=False)
    assert page.locator("#stills details").count() == 2
    assert page.locator("#stills img").first.is_visible()
    assert page.locator(".controls").is_hidden()
    assert page.locator("button:visible").count() == 0


def test_names_of_strangers_run_nothing(open_page, planted, tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    model = SRImages(planted.root / "healthy", 4, name=evil)
    data = planted.images[:1]
    data.name = "</script><script>alert(3)</script>"
    found = survey.compute([model], [data], quick=True)
    written = report.write_report(found, tmp_path / "evil.html", quick=True)
    page = open_page(written.page)
    assert page.locator("#network h3").inner_text() == evil


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_nothing_serious(open_page, written, scheme, width):
    """With axe-core: `npm install axe-core` in the repository, or its file in AXE_CORE."""
    default = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"
    axe = Path(os.environ.get("AXE_CORE", default))
    if not axe.is_file():
        pytest.skip("axe-core is not installed: npm install axe-core")
    page = open_page(written.page, width, color_scheme=scheme)
    page.evaluate(axe.read_text("utf-8"))
    found = page.evaluate("axe.run(document)")
    serious = [
        (rule["id"], [node["html"][:200] for node in rule["nodes"]])
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
    ]
    assert serious == []
