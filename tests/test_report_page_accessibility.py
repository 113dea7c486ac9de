"""The report for every eye and for none: contrast in light and dark, names, headings, the keyboard."""

import re
from collections import Counter
from itertools import pairwise

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By

from tests.browser import CONTRAST, DRAWN_LINES, LINE_LOOKS, emulate, resize
from tests.report_page import OTHERS, browser, crowd, crowded, drawn, every, outer, page, unlike

pytestmark = pytest.mark.service

__all__ = ["browser", "crowd", "crowded", "drawn", "page"]  # fixtures


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
