"""The page of the service, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser import CONTRAST, TOO_WIDE, chromium, emulate, requests, resize
from tests.drawing import dicom, shapes, write_dicom
from tests.flows.conftest import eventually
from tests.serving.nodes import HOST, TOKENS
from tests.serving.test_service import Running, draw, running

pytestmark = pytest.mark.service

LEFT_OF_CUT = "return parseFloat(getComputedStyle(document.querySelector('.edge')).left)"
# as when a person drops a file there
DROP = """
const [zone, name, bytes] = arguments;
const transfer = new DataTransfer();
transfer.items.add(new File([Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0))], name));
zone.dispatchEvent(new DragEvent("dragover", {dataTransfer: transfer, bubbles: true, cancelable: true}));
zone.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
"""


@dataclass
class Page:
    driver: Chrome
    service: Running

    def __getitem__(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    @property
    def status(self) -> str:
        return self["status"].text

    def bring(self, path: Path, token: str = TOKENS["ward"]) -> None:
        self["token"].clear()
        self["token"].send_keys(token)
        self["file"].send_keys(str(path))

    def trouble(self) -> list[str]:
        """What the browser complained of."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root = tmp_path_factory.mktemp("page")
    with running(root, 1) as service, chromium(root / "profile") as driver:
        resize(driver, 900, 1000)
        yield Page(driver, service)


@pytest.fixture
def page(opened: Page) -> Page:
    opened.driver.get(f"http://{HOST}:{opened.service.web}/")
    opened.driver.execute_script("sessionStorage.clear()")
    opened.driver.refresh()
    opened.trouble()
    return opened


def test_an_image_is_brought_and_compared_with_the_slider(page: Page, tmp_path: Path) -> None:
    page.bring(draw(tmp_path, 1)[0])
    assert eventually(lambda: page.status == "Done.", 30), page.status
    assert page["made"].text.startswith("96 × 80 pixels, by sr-generator version 3 in ")
    before, after = page["before"], page["after"]
    assert [one.get_property("naturalWidth") for one in (before, after)] == [48, 96]
    assert before.rect == after.rect, "one lies exactly over the other"
    width = page["stage"].rect["width"]
    assert page.driver.execute_script(LEFT_OF_CUT) == pytest.approx(width / 2, abs=2)
    page["slider"].send_keys(*[Keys.ARROW_RIGHT] * 10)
    assert page.driver.execute_script(LEFT_OF_CUT) == pytest.approx(0.6 * width, abs=2)
    ActionChains(page.driver).move_to_element_with_offset(page["stage"], -int(width / 4), 0).click().perform()
    assert page.driver.execute_script(LEFT_OF_CUT) == pytest.approx(width / 4, abs=3)
    assert page["slider"].get_property("value") in ("25", "24", "26")
    assert page.trouble() == []


def test_an_image_can_be_dropped_and_removed(page: Page, tmp_path: Path) -> None:
    from base64 import b64encode

    path = tmp_path / "picture.png"
    Image.fromarray((shapes(30, 50) * 255).astype(np.uint8)).save(path)
    page["token"].send_keys(TOKENS["ward"])
    page.driver.execute_script(DROP, page["drop"], path.name, b64encode(path.read_bytes()).decode())
    assert eventually(lambda: page.status == "Done.", 30), page.status
    assert page["made"].text.startswith("100 × 60 pixels")
    held = page.service.service.spool.counts()["kept"]
    page["remove"].click()
    assert eventually(lambda: page.status == "Removed.")
    assert not page["result"].is_displayed()
    assert page.service.service.spool.counts()["kept"] == held - 1
    assert page.trouble() == []


def test_another_frame_of_a_film_can_be_shown(page: Page, tmp_path: Path) -> None:
    film = np.stack([(shapes(32, 32, seed=number) * 255).astype(np.uint8) for number in range(3)])
    page.bring(write_dicom(tmp_path / "film.dcm", dicom(film, "US")))
    assert eventually(lambda: page.status == "Done.", 30), page.status
    first = page["after"].get_attribute("src")
    page["frame"].send_keys(Keys.ARROW_UP, Keys.TAB)
    assert eventually(lambda: page["after"].get_attribute("src") != first)
    asked = [one["params"].get("request", {}).get("url", "") for one in requests(page.driver)]
    assert any("sharpened=true&frame=2" in url for url in asked)
    assert page.trouble() == []


def test_what_was_made_can_be_downloaded(page: Page, tmp_path: Path) -> None:
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.bring(draw(tmp_path / "sent", 1)[0])
    assert eventually(lambda: page.status == "Done.", 30), page.status
    page["download"].click()
    assert eventually(lambda: bool(list(tmp_path.glob("*.dcm")))), page.status


def test_what_goes_wrong_is_said_in_words(page: Page, tmp_path: Path) -> None:
    image = dicom((shapes(40, 40) * 255).astype(np.uint8))
    image.PixelData = image.PixelData[:100]
    page.bring(write_dicom(tmp_path / "cut.dcm", image))
    assert eventually(lambda: page.status.startswith("Not sharpened: image.dcm: "), 30), page.status
    page.bring(draw(tmp_path, 1)[0], token="wrong")
    assert eventually(lambda: "expected a token" in page.status), page.status
    assert not page["result"].is_displayed()


def test_a_name_is_shown_and_never_run(page: Page, tmp_path: Path) -> None:
    path = draw(tmp_path, 1)[0].rename(tmp_path / "<img src=x onerror=document.title='run'>.dcm")
    page.bring(path)
    assert eventually(lambda: page.status == "Done.", 30), page.status
    assert page.driver.title == "Sharpen an image" and page.trouble() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_everybody_and_asks_nobody_else(page: Page, tmp_path: Path, scheme: str) -> None:
    emulate(page.driver, scheme=scheme)
    page.bring(draw(tmp_path, 1)[0])
    assert eventually(lambda: page.status == "Done.", 30), page.status
    weak = [one for one in page.driver.execute_script(CONTRAST) if one["contrast"] < one["needed"]]
    assert weak == []
    resize(page.driver, 360)
    fits: dict[str, Any] = page.driver.execute_script(TOO_WIDE)
    assert fits["page"] <= fits["window"] and fits["wide"] == [], json.dumps(fits)
    resize(page.driver, 900, 1000)
    unnamed = page.driver.execute_script(
        "return [...document.querySelectorAll('input, button, img, progress')].filter((one) => !(one.labels?.length ||"
        "one.textContent.trim() || one.alt || one.ariaLabel)).map((one) => one.id)"
    )
    assert unnamed == []
    urls = [one["params"]["request"]["url"] for one in requests(page.driver) if "request" in one["params"]]
    here = (f"http://{HOST}:{page.service.web}/", f"blob:http://{HOST}:{page.service.web}/", "data:", "about:")
    assert urls and not [url for url in urls if not url.startswith(here)]
