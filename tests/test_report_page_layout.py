"""The report on a phone, a desk and paper."""

import base64
import re

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from components.handover import METHODS
from tests.browser import BAD_LABELS, DRAWN_TEXTS, TOO_WIDE, WIDE_TABLES, emulate, resize
from tests.report_page import OTHERS, browser, crowd, crowded, drawn, every, page, unlike

pytestmark = pytest.mark.service

__all__ = ["browser", "crowd", "crowded", "drawn", "page"]  # fixtures


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window_it_is_read_in(page: Chrome, width: int) -> None:
    resize(page, width)
    found = page.execute_script(TOO_WIDE)
    assert found["wide"] == found["cramped"] == []
    assert found["page"] <= found["window"] <= width


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_no_name_is_cut_or_overlaps_however_many_methods_there_are(crowd: Chrome, width: int) -> None:
    resize(crowd, width)
    assert len(every(crowd, ".bars .name")) == 2 * (len(METHODS) + len(OTHERS))
    assert crowd.execute_script(BAD_LABELS) == []
    found = crowd.execute_script(TOO_WIDE)
    assert found["wide"] == found["cramped"] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_in_a_drawing_is_too_small_to_read(page: Chrome, width: int) -> None:
    resize(page, width)
    texts = page.execute_script(DRAWN_TEXTS)
    assert len(texts) > 50
    assert [one for one in texts if one["pixels"] < 9] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_has_no_controls(page: Chrome, scheme: str) -> None:
    controls = "nav, input, select, textarea, button"
    assert unlike(page, controls, "one.checkVisibility()") == []
    emulate(page, scheme=scheme, media="print")
    assert unlike(page, controls, "!one.checkVisibility()") == []
    for element in ("html", "body"):
        colour = page.find_element(By.TAG_NAME, element).value_of_css_property("background-color")
        assert colour in ("rgba(255, 255, 255, 1)", "rgba(0, 0, 0, 0)")


PAPER = {"A4": 688, "Letter": 710}  # CSS pixels between margins of 14 mm


@pytest.mark.parametrize("paper", PAPER)
@pytest.mark.parametrize("name", ["drawn", "crowded"])
def test_no_table_is_wider_than_the_paper_it_is_printed_on(
    browser: Chrome, request: pytest.FixtureRequest, name: str, paper: str
) -> None:
    browser.get(request.getfixturevalue(name).report.as_uri())
    resize(browser, PAPER[paper])
    emulate(browser, media="print")
    assert len(every(browser, "table")) > 15
    assert browser.execute_script(WIDE_TABLES) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER[paper]


def test_the_two_pictures_of_an_image_are_printed_beside_each_other(crowd: Chrome) -> None:
    resize(crowd, PAPER["A4"])
    emulate(crowd, media="print")
    left, right = every(crowd, ".stage")[:2]
    assert left.rect["y"] == right.rect["y"] and left.rect["x"] < right.rect["x"]


def test_what_is_folded_away_is_printed(page: Chrome) -> None:
    assert not any(one.get_property("open") for one in every(page, "details"))
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", printed)) >= 1
    assert all(one.get_property("open") for one in every(page, "details"))
