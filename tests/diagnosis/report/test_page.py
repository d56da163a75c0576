"""The page: whole, self-contained, escaped, and with its data."""

import base64
import html
import io
import itertools
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from srlongtail.diagnosis.report import page, survey
from srlongtail.diagnosis.report.figures import plot
from srlongtail.errors import InputError
from srlongtail.image.io import write_image
from srlongtail.models.sr_images import SRImages
from srlongtail.studies import tail

VOID = {"meta", "img", "input", "br"}


class Outline(HTMLParser):
    """Every tag with its attributes; tags must be closed in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text):
    parser = Outline()
    parser.feed(text)
    assert parser.open == []
    return parser.tags


@pytest.fixture(scope="module")
def text(written):
    return written.page.read_text("utf-8")


def test_nothing_is_fetched(text):
    for tag, attributes in outline(text):
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            address = attributes.get(name, "#")
            assert address.startswith(("#", "data:")), (tag, name, address[:60])
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


def test_structure(text):
    tags = outline(text)
    names = [tag for tag, _ in tags]
    assert names.count("h1") == names.count("main") == names.count("header") == 1
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {a["href"][1:] for tag, a in tags if tag == "a" and a["href"].startswith("#")}
    assert links <= set(ids)
    for tag, attributes in tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert len(attributes["aria-label"]) > 20
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


def test_every_figure_has_its_data(text):
    tags = outline(text)
    figures = [a.get("id") for tag, a in tags if tag == "figure" and a["class"] != "crops"]
    tables = {
        a["download"]: pd.read_csv(io.BytesIO(base64.b64decode(a["href"].partition(",")[2])))
        for tag, a in tags
        if tag == "a" and a.get("download", "").endswith(".csv")
    }
    assert {f"{figure}.csv" for figure in figures} <= set(tables)
    assert {"means.csv", "images.csv", "windows.csv", "comparison-1-images.csv"} <= set(tables)
    assert all(len(table) for table in tables.values())
    assert len(tables["images.csv"]) == 4
    assert tables["tenths.csv"].groupby(["quantity", "model"]).size().eq(10).all()


def test_the_verdict_comes_first_and_the_card_says_the_same(written, text):
    (verdict,) = written.verdicts
    shown = html.unescape(re.sub(r"<[^>]+>", "", text[text.index("<header>") :]))
    place = -1
    for sentence in (verdict.headline, *verdict.sentences):
        assert shown.find(sentence) > place
        place = shown.find(sentence)
    card = json.loads(written.card.read_text())
    assert card["verdicts"]["bicubic-matlab"]["sentences"] == list(verdict.sentences)
    assert {row["model"] for row in card["scores"]} == {"bicubic", "bicubic-matlab"}
    for key in ("command", "protocols", "seeds", "versions", "data", "models", "not_measured"):
        assert card[key]
    link = re.search(r'download="report.json" href="data:application/json;base64,([^"]+)"', text)
    assert json.loads(base64.b64decode(link[1])) == card


def test_a_figure_is_the_same_when_drawn_again(found):
    drawn = [plot("a", tail.draw, found.tails[0], "a finding") for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 'aria-label="a finding"' in drawn[0].svg


def test_names_of_strangers_are_text(planted, tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'|"
    model = SRImages(planted.root / "healthy", 4, name=evil)
    data = planted.images
    data.name = "</script><b>&"
    found = survey.compute([model], [data[:1]], quick=True)
    written = page.write_report(found, tmp_path / "evil.html", quick=True)
    text = written.page.read_text("utf-8")
    tags = outline(text)
    assert not [a for tag, a in tags if "onerror" in a]
    assert [tag for tag, _ in tags].count("script") == text.count("</script>") == 3
    assert "b" not in [tag for tag, _ in tags]
    shown = html.unescape(text)
    assert evil in shown
    (found_card,) = re.findall(r'<pre id="markdown"[^>]*>(.*?)</pre>', text, flags=re.DOTALL)
    row = html.unescape(found_card).splitlines()[2]
    assert "<" not in row
    assert row.count("|") - row.count("\\|") == 8


def test_the_page_keeps_its_budget(found, written, tmp_path, monkeypatch):
    assert (written.whole, written.cropped, written.hidden) == (2, 0, 0)
    monkeypatch.setattr(page, "_context", lambda *_, **__: {})
    monkeypatch.setattr(page, "_rendered", lambda _, viewed, hidden: json.dumps(viewed))
    pictures = found.album.chosen()
    one = pictures[0].reduced(96).bytes * 4 / 3
    for budget, counts in ((1.2 * one, (0, 1, 1)), (3 * one, (0, 2, 0)), (10**7, (2, 0, 0))):
        monkeypatch.setattr(page, "PAGE_BYTES", budget + page._MARGIN)
        less = page.write_report(found, tmp_path / "b.html")
        assert (less.whole, less.cropped, less.hidden) == counts
        assert less.page.stat().st_size == less.bytes <= page.PAGE_BYTES
    monkeypatch.setattr(page, "PAGE_BYTES", 0)
    everything = page.write_report(found, tmp_path / "a.html", all_images=True)
    assert (everything.whole, everything.cropped, everything.hidden) == (2, 0, 0)


def test_the_page_tells_why_images_are_crops(found, text, tmp_path, monkeypatch):
    reason = "the space that its figures leave decides how many images are whole"
    assert reason not in text
    sections = ("tail", "tenths", "spectrum", "weights")
    monkeypatch.setattr(page, "_plots", lambda *_: {name: [] for name in sections})
    monkeypatch.setattr(page, "_comparisons", lambda _: [])
    monkeypatch.setattr(page, "_attributions", lambda _: [])
    crops = [pictures.reduced(96) for pictures in found.album.chosen()]
    monkeypatch.setattr(found.album, "chosen", lambda _: crops)
    cropped = page.write_report(found, tmp_path / "crops.html").page.read_text("utf-8")
    assert "2 images, the hardest first: 0 whole, 2 as crops around" in cropped
    assert f"The page is kept below 12 MB, so {reason}" in cropped


def test_perfect_images_have_a_page(planted, tmp_path):
    for folder, perfect in (("some", 1), ("all", 2)):
        for number, pair in enumerate(planted.images[:2]):
            sr = pair.hr if number < perfect else pair.hr * 0.9
            write_image(tmp_path / folder / f"{pair.name}.png", sr)
        model = SRImages(tmp_path / folder, 4)
        found = survey.compute([model], [planted.images[:2]])
        written = page.write_report(found, tmp_path / f"{folder}.html")
        text = written.page.read_text("utf-8")
        outline(text)
        assert "left out of means of PSNR" in text
        card = json.loads(written.card.read_text(), parse_constant=pytest.fail)
        assert card["scores"][1]["perfect"] == perfect
    assert card["scores"][1]["psnr_db"] == "infinite"


def test_several_networks_are_told_apart_or_not(planted, surveyed):
    verdicts = [page.judge(surveyed, model.name) for model in surveyed.networks]
    assert page.headline(surveyed, verdicts).startswith("perfect leads")
    two = survey.compute(planted.models("healthy", "blurred"), [planted.images], quick=True)
    verdicts = [page.judge(two, model.name) for model in two.networks]
    assert "healthy leads blurred by " in page.headline(two, verdicts)
    assert "too few images" in page.headline(two, verdicts)


def test_a_page_that_cannot_be_written_leaves_nothing(found, tmp_path):
    folder = tmp_path / "report.html"
    folder.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        page.write_report(found, folder)
    assert list(tmp_path.iterdir()) == [folder]
