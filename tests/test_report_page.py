"""The report as a person meets it: opened from a file in Chromium, on a desk, a phone, in the dark and on paper."""

import base64
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from components import report, validate
from components.adapters.expectations import Outcome
from components.handover import METHODS, IndexRow, Layout, read_json, read_rows, write_json, write_rows
from components.handover.sr_rows import MethodSummary, SampleScore
from components.pages.labels import NAMES
from tests import tables
from tests.browser import (
    BAD_LABELS,
    CONTRAST,
    DRAWN_LINES,
    DRAWN_TEXTS,
    LINE_LOOKS,
    TOO_WIDE,
    WIDE_TABLES,
    chromium,
    emulate,
    requests,
    resize,
)
from tests.settings import small

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def drawn(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A report with every section that it can have: something quarantined, something that did not hold."""
    layout = Layout(tmp_path_factory.mktemp("report"))
    index = tables.write_data(layout)
    tables.write_scores(layout)
    bad = replace(index[0], quarantined=True, reason="no pixels", file_name="a-name-without-any-space-" * 6 + ".dcm")
    write_rows(layout.index, IndexRow, [*index, bad])
    expectations = validate.image_expectations(small().validate)
    held = [Outcome(one, one.severity == "warning", "12 of 18", ("a row",), "Look at it.") for one in expectations]
    write_json(layout.validation, validate.summarise(held, index))
    shown = read_json(layout.pictures / "pictures.json")
    write_json(layout.pictures / "pictures.json", [entry | {"size": [48, 40]} for entry in shown])
    report.run(layout, small())
    return layout


OTHERS = ("champion", "swin2sr_large_lightweight", "HAT-L-pretrained-on-ImageNet", "x" * 40)


@pytest.fixture(scope="module")
def crowded(browser: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A later run's report: more images than a table of the literature, a champion before, other programs' images."""
    layout = Layout(tmp_path_factory.mktemp("crowded"))
    tables.write_data(layout)
    tables.write_scores(layout, images=12, others=OTHERS)
    validate.run(layout, small())
    report.run(layout, small())
    return layout


@pytest.fixture
def crowd(browser: Chrome, crowded: Layout) -> Chrome:
    """That report, just opened."""
    resize(browser, 1280)
    emulate(browser)
    browser.get(crowded.report.as_uri())
    return browser


@pytest.fixture
def page(browser: Chrome, drawn: Layout) -> Chrome:
    """The report, just opened: a window of 1280 pixels, light."""
    resize(browser, 1280)
    emulate(browser)
    for log in ("performance", "browser"):
        browser.get_log(log)
    browser.get(drawn.report.as_uri())
    return browser


def every(page: Chrome, selector: str) -> list[WebElement]:
    """What `selector` finds; a page without any would pass whatever is asked of all of them."""
    found = page.find_elements(By.CSS_SELECTOR, selector)
    assert found, f"the page has no {selector}"
    return found


def outer(page: Chrome, elements: list[WebElement]) -> list[str]:
    """How each element begins, to name it where a test fails."""
    return page.execute_script("return arguments[0].map((one) => one.outerHTML.slice(0, 160))", elements)


def unlike(page: Chrome, selector: str, wanted: str) -> list[str]:
    """How each element begins that `selector` finds and that is not as the JavaScript expression of `one` wants it."""
    return outer(page, page.execute_script(f"return arguments[0].filter((one) => !({wanted}))", every(page, selector)))


# a page that needs nothing


def test_the_page_opens_from_a_file_without_a_network_and_without_complaint(page: Chrome, drawn: Layout) -> None:
    seen = requests(page)
    asked = [one["params"]["request"]["url"] for one in seen if one["method"] == "Network.requestWillBeSent"]
    assert drawn.report.as_uri() in asked
    assert [url for url in asked if url != drawn.report.as_uri() and not url.startswith("data:")] == []
    assert [one for one in seen if one["method"] == "Network.loadingFailed"] == []
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def test_every_picture_is_drawn(page: Chrome) -> None:
    assert unlike(page, "img", "one.complete && one.naturalWidth") == []


# the slider


class Comparison:
    """The first pair of pictures with its slider and its choice of methods."""

    def __init__(self, page: Chrome) -> None:
        self.page = page
        self.slider = every(page, "input[type=range]")[0]
        self.card = self.slider.find_element(By.XPATH, "ancestor::*[.//img][1]")
        self.choice = Select(self.card.find_element(By.TAG_NAME, "select"))
        page.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", self.card)

    def upper(self) -> list[dict[str, str]]:
        """The pictures that lie over others and are seen: what each shows, where it is cut, and what stands on it."""
        return self.page.execute_script(
            """const clip = (one) => getComputedStyle(one).clipPath;
            return [...arguments[0].querySelectorAll("img")]
                .filter((one) => one.checkVisibility() && clip(one) !== "none")
                .map((one) => ({alt: one.alt, clip: clip(one), on: one.parentElement.innerText}))""",
            self.card,
        )

    def cut(self) -> float:
        """Where the upper pictures begin, in percent of their width: every one of the card at the same place."""
        (clip,) = {one["clip"] for one in self.upper()}
        return float(re.findall(r"([\d.]+)%", clip)[0])

    def stage(self) -> WebElement:
        """What holds the first upper picture and the one below it."""
        cut = "getComputedStyle(one).clipPath !== 'none'"
        first = f"return [...arguments[0].querySelectorAll('img')].find((one) => {cut}).parentElement"
        return self.page.execute_script(first, self.card)

    def spoken(self) -> str:
        return self.slider.get_attribute("aria-valuetext") or ""


def test_arrow_keys_move_the_edge_between_two_pictures(page: Chrome) -> None:
    compared = Comparison(page)
    before, looks, spoken = compared.cut(), compared.stage().screenshot_as_png, compared.spoken()
    compared.slider.send_keys(Keys.ARROW_LEFT * 20)
    assert compared.cut() == before - 20 == float(compared.slider.get_property("value"))
    assert f"{before - 20:g} %" in compared.spoken() != spoken
    assert compared.stage().screenshot_as_png != looks
    compared.slider.send_keys(Keys.END)
    assert compared.cut() == 100 and "100 %" in compared.spoken()


def test_the_pointer_on_the_picture_moves_the_edge(page: Chrome) -> None:
    compared = Comparison(page)
    stage, looks = compared.stage(), compared.stage().screenshot_as_png
    step = round(stage.rect["width"] * 0.3)
    ActionChains(page, duration=20).move_to_element_with_offset(stage, -step, 0).click_and_hold().perform()
    assert compared.cut() == pytest.approx(20, abs=1.5)
    assert f"{compared.cut():g} %" in compared.spoken()
    ActionChains(page, duration=20).move_by_offset(2 * step, 0).release().perform()
    assert compared.cut() == pytest.approx(80, abs=1.5)
    assert f"{compared.cut():g} %" in compared.spoken()
    assert compared.stage().screenshot_as_png != looks
    ActionChains(page, duration=20).move_by_offset(-step, 0).perform()
    assert compared.cut() == pytest.approx(80, abs=1.5), "a pointer that is not pressed moves nothing"


def test_the_method_that_is_chosen_is_shown_and_every_other_is_hidden(page: Chrome) -> None:
    compared = Comparison(page)
    names = [option.text.split(",")[0] for option in compared.choice.options]
    assert len(names) > 2
    for number, name in enumerate(names):
        compared.choice.select_by_index(number)
        whole, detail = compared.upper()  # one over each of the two pictures, and no other
        assert whole["alt"].lower().endswith(name.lower()) and detail["alt"].lower().endswith(name.lower())
        assert name in whole["on"].split("\n") and name in detail["on"].split("\n")
        assert name in compared.spoken()


# colours


@pytest.mark.parametrize("media", ["", "print"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page: Chrome, scheme: str, media: str) -> None:
    emulate(page, scheme=scheme, media=media)
    texts = page.execute_script(CONTRAST)
    assert len(texts) > 300
    assert [one for one in texts if one["contrast"] < one["needed"]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_drawn_line_stands_out_from_its_ground(page: Chrome, scheme: str) -> None:
    emulate(page, scheme=scheme)
    lines = page.execute_script(DRAWN_LINES)
    assert len(lines) > 20
    assert [one for one in lines if one["contrast"] < 3.0] == []  # WCAG 2.1, 1.4.11


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_of_many_methods_has_a_line_of_its_own_look(crowd: Chrome, scheme: str) -> None:
    emulate(crowd, scheme=scheme)
    looks = crowd.execute_script(LINE_LOOKS)
    assert [name for name, *_ in looks][-len(OTHERS) :] == ["Champion before", *OTHERS[1:]]
    assert len(looks) > 10 and len({tuple(look) for _, *look in looks}) == len(looks)
    assert [one for one in crowd.execute_script(DRAWN_LINES) if one["contrast"] < 3.0] == []


def test_dark_is_dark_and_light_is_light(page: Chrome) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        emulate(page, scheme=scheme)
        colour = page.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
        grounds.append(sum(map(int, re.findall(r"\d+", colour)[:3])) / 3)
    assert grounds[0] > 200 and grounds[1] < 60


@pytest.mark.parametrize(
    ("style", "contrast", "needed"),
    [
        ("color: #000; background: #fff", 21.0, 4.5),
        ("color: #767676; background: #fff", 4.54, 4.5),
        ("color: #777; background: #fff; font: 24px serif", 4.48, 3.0),
        ("color: #777; background: #fff; font: bold 18px serif", 4.48, 4.5),
        ("color: #000; opacity: .5; background: #fff", 3.98, 4.5),
        ("color: #fff; background: rgb(0 0 0 / 50%)", 4.0, 4.5),
        ("color: #fff; background: rgb(0 0 0 / 50%); position: absolute", 4.0, 4.5),
        ("color: #000; background: rgb(0 0 0 / 50%); position: absolute", 1.0, 4.5),
    ],
)
def test_contrast_is_measured_as_wcag_2_has_it(page: Chrome, style: str, contrast: float, needed: float) -> None:
    # a picture under what is placed on it: it may be black or white there, and the worse of both counts
    drawn = f"<div style='background: #fff'><img alt=''><p style='{style}'>Text</p></div>"
    page.execute_script("document.body.innerHTML = arguments[0]", drawn)
    (found,) = page.execute_script(CONTRAST)
    assert found["needed"] == needed
    assert found["contrast"] == pytest.approx(contrast, abs=0.02)


# without eyes, without a pointer


def test_every_picture_says_what_it_is_or_is_kept_from_those_who_cannot_see_it(page: Chrome) -> None:
    assert unlike(page, "img", "one.hasAttribute('alt') || one.closest('[aria-hidden=true]')") == []
    told = [one for one in every(page, "svg") if one.get_dom_attribute("aria-hidden") != "true"]
    assert outer(page, [one for one in told if one.aria_role not in ("img", "image") or not one.accessible_name]) == []


def test_whatever_can_be_operated_has_a_name_and_no_two_controls_share_one(page: Chrome) -> None:
    operated = every(page, "input, select, textarea, button, a[href], summary")
    assert outer(page, [one for one in operated if not one.accessible_name]) == []
    named = Counter(one.accessible_name for one in every(page, "input, select, textarea, button"))
    assert [name for name, count in named.items() if count > 1] == []


def test_headings_descend_without_a_gap_from_a_single_first(page: Chrome) -> None:
    levels = [int(one.tag_name[1]) for one in every(page, "h1, h2, h3, h4, h5, h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_says_what_it_holds(page: Chrome) -> None:
    label = "one.closest('[role=region][aria-labelledby]')?.getAttribute('aria-labelledby')"
    named = f"one.caption?.textContent.trim() || document.getElementById({label})?.textContent.trim()"
    assert unlike(page, "table", named) == []


def test_every_box_that_scrolls_is_a_region_with_a_name(page: Chrome) -> None:
    boxes = every(page, ".scroll")
    page.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert outer(page, [one for one in boxes if one.aria_role != "region" or not one.accessible_name.strip()]) == []


def test_every_heading_of_a_table_says_what_it_heads(page: Chrome) -> None:
    assert unlike(page, "th", "['row', 'col', 'rowgroup', 'colgroup'].includes(one.scope)") == []


def test_no_id_is_given_twice_and_every_reference_finds_one(page: Chrome) -> None:
    assert unlike(page, "[id]", "document.querySelectorAll(`[id='${one.id}']`).length === 1") == []
    assert unlike(page, "a[href^='#']", "document.getElementById(one.hash.slice(1))") == []
    names = "one.getAttribute('aria-labelledby').split(' ').every((id) => document.getElementById(id))"
    assert unlike(page, "[aria-labelledby]", names) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_tab_reaches_every_control_and_every_box_that_scrolls_and_is_seen_there(page: Chrome, width: int) -> None:
    resize(page, width)
    wanted = page.execute_script("""
        for (const one of document.querySelectorAll("details")) one.open = true;
        const boxed = (one) => /auto|scroll/.test(getComputedStyle(one).overflowX);
        const scrolls = (one) => boxed(one) && one.scrollWidth > one.clientWidth;
        const operated = (one) => one.matches("input, select, textarea, button, a[href], summary");
        return [...document.body.querySelectorAll("*")].filter((one) => scrolls(one) || operated(one));""")
    assert wanted and page.execute_script("return arguments[0].filter((one) => one.tabIndex !== 0)", wanted) == []
    reached, unseen = set(), []
    for _ in range(len(wanted) + 60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        at, ring = page.execute_script(
            """const at = document.activeElement, {outlineStyle, outlineWidth} = getComputedStyle(at);
            return [at, outlineStyle !== "none" && parseFloat(outlineWidth) >= 1];"""
        )
        if at.id in reached or at == page.find_element(By.TAG_NAME, "body"):
            break
        reached.add(at.id)
        unseen += [] if ring else [at]
    assert outer(page, [one for one in wanted if one.id not in reached]) == []
    assert outer(page, unseen) == []


# a phone, a desk, paper


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


def test_more_images_than_a_table_of_the_literature_has_stand_below_each_other(crowd: Chrome, crowded: Layout) -> None:
    found = shown(crowd.find_element(By.CSS_SELECTOR, "table[data-measure=psnr_db]"))
    rows = read_rows(crowded.sr_samples, SampleScore)
    assert len(found) == 12
    for sample, cells in found.items():
        own = [row for row in rows if row.sample == sample]
        assert cells == [own[0].modality, *(f"{row.psnr_db:.2f}" for row in own)]


def test_what_is_folded_away_is_printed(page: Chrome) -> None:
    assert not any(one.get_property("open") for one in every(page, "details"))
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    assert printed.startswith(b"%PDF-") and len(re.findall(rb"/Type\s*/Page\b", printed)) >= 1
    assert all(one.get_property("open") for one in every(page, "details"))


# the numbers


def shown(table: WebElement) -> dict[str, list[str]]:
    """The rows of a table as they are read on the page, by their first cell."""
    read = "return [...arguments[0].tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText))"
    return {cells[0]: cells[1:] for cells in table.parent.execute_script(read, table)}


@pytest.mark.parametrize(("measure", "digits"), [("psnr_db", 2), ("ssim", 4)])
def test_the_scores_of_each_image_are_read_as_the_file_has_them(
    page: Chrome, drawn: Layout, measure: str, digits: int
) -> None:
    found = shown(page.find_element(By.CSS_SELECTOR, f"table[data-measure={measure}]"))
    rows = read_rows(drawn.sr_samples, SampleScore)
    wanted = {
        NAMES[method]: [f"{getattr(row, measure):.{digits}f}" for row in rows if row.method == method]
        for method in METHODS
    }
    assert found == wanted


def test_the_least_and_greatest_scores_are_read_as_the_file_has_them(page: Chrome, drawn: Layout) -> None:
    found = shown(page.find_element(By.ID, "min-max"))
    lines = read_rows(drawn.sr_summary, MethodSummary)
    assert list(found) == [NAMES[line.method] for line in sorted(lines, key=lambda line: -line.psnr_db_mean)]
    for line in lines:
        psnr = [f"{line.psnr_db_min:.2f} – {line.psnr_db_max:.2f}", f"{line.psnr_db_mean:.2f}"]
        ssim = [f"{line.ssim_min:.4f} – {line.ssim_max:.4f}", f"{line.ssim_mean:.4f}"]
        body = [f"{line.psnr_body_db_mean:.2f}", f"{line.ssim_body_mean:.4f}"]
        assert found[NAMES[line.method]][:6] == [*psnr, *ssim, *body]
