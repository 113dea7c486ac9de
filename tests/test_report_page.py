"""The report as a person opens it in Chromium: from a file, with its pictures, its slider and its numbers."""

import re

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from components.handover import METHODS, Layout, read_rows
from components.handover.sr_rows import MethodSummary, SampleScore
from components.pages.labels import NAMES
from tests.browser import requests
from tests.report_page import browser, crowd, crowded, drawn, every, page, shown, unlike

pytestmark = pytest.mark.service

__all__ = ["browser", "crowd", "crowded", "drawn", "page"]  # fixtures


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


def test_more_images_than_a_table_of_the_literature_has_stand_below_each_other(crowd: Chrome, crowded: Layout) -> None:
    found = shown(crowd.find_element(By.CSS_SELECTOR, "table[data-measure=psnr_db]"))
    rows = read_rows(crowded.sr_samples, SampleScore)
    assert len(found) == 12
    for sample, cells in found.items():
        own = [row for row in rows if row.sample == sample]
        assert cells == [own[0].modality, *(f"{row.psnr_db:.2f}" for row in own)]
