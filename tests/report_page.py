"""Two reports open in Chromium, and what can be asked of their elements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from components import report, validate
from components.adapters.expectations import Outcome
from components.handover import IndexRow, Layout, read_json, write_json, write_rows
from tests import tables
from tests.browser import chromium, emulate, resize
from tests.conftest import Once
from tests.settings import small

OTHERS = ("champion", "swin2sr_large_lightweight", "HAT-L-pretrained-on-ImageNet", "x" * 40)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture(scope="module")
def drawn(browser: Chrome, once: Once) -> Layout:
    """A report with every section that it can have: something quarantined, something that did not hold."""
    return Layout(once("report_page", _draw))


def _draw(root: Path) -> None:
    root.mkdir()
    layout = Layout(root)
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


@pytest.fixture(scope="module")
def crowded(browser: Chrome, once: Once) -> Layout:
    """A later run's report: more images than a table of the literature, a champion before, other programs' images."""
    return Layout(once("crowded_page", _crowd))


def _crowd(root: Path) -> None:
    root.mkdir()
    layout = Layout(root)
    tables.write_data(layout)
    tables.write_scores(layout, images=12, others=OTHERS)
    validate.run(layout, small())
    report.run(layout, small())


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


def shown(table: WebElement) -> dict[str, list[str]]:
    """The rows of a table as they are read on the page, by their first cell."""
    read = "return [...arguments[0].tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText))"
    return {cells[0]: cells[1:] for cells in table.parent.execute_script(read, table)}
