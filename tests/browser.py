"""Chromium without a window, and what a script can ask a page about its looks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.programs import needed

PURPOSE = "no page is opened in a browser"

_COLOURS = """
const painter = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const rgba = (colour) => {
  painter.clearRect(0, 0, 1, 1); painter.fillStyle = colour; painter.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = painter.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
};
const over = (top, ground) => [0, 1, 2].map((n) => top[n] * top[3] + ground[n] * (1 - top[3])).concat(1);
const linear = (value) => value <= 0.04045 * 255 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ratio = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
// what may lie behind a text: one colour, or black and white where it is placed on a picture that shines through
const grounds = (element) => {
  const layers = [];
  let ends = null;
  for (let at = element; at && !ends; at = at.parentElement) {
    const colour = rgba(getComputedStyle(at).backgroundColor);
    const placed = getComputedStyle(at).position === "absolute" && at.parentElement.querySelector(":scope > img");
    if (colour[3] === 1) ends = [colour]; else if (colour[3] > 0) layers.unshift(colour);
    if (!ends && placed) ends = [[0, 0, 0, 1], [255, 255, 255, 1]];
  }
  return (ends || [[255, 255, 255, 1]]).map((end) => layers.reduce((ground, layer) => over(layer, ground), end));
};
"""

# texts that are seen, with the contrast that each has by WCAG 2 and the contrast that it must have
CONTRAST = (
    _COLOURS
    + """
const measured = (text, element) => {
  const style = getComputedStyle(element), drawn = element instanceof SVGElement;
  const size = parseFloat(style.fontSize) * (drawn ? element.getScreenCTM().a : 1);
  let opacity = 1;
  for (let at = element; at; at = at.parentElement) opacity *= getComputedStyle(at).opacity;
  const ink = rgba(drawn ? style.fill : style.color);
  ink[3] *= opacity;
  const contrast = Math.min(...grounds(element).map((ground) => ratio(over(ink, ground), ground)));
  const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
  return {text: text.trim().slice(0, 60), contrast, needed: large ? 3 : 4.5};
};
for (const one of document.querySelectorAll("details")) one.open = true;
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
const found = [];
while (texts.nextNode()) {
  const node = texts.currentNode;
  range.selectNodeContents(node);
  const seen = node.textContent.trim() && range.getClientRects().length;
  if (seen && node.parentElement.checkVisibility({visibilityProperty: true})) {
    found.push(measured(node.textContent, node.parentElement));
  }
}
for (const one of document.querySelectorAll("select, button")) {
  if (one.checkVisibility({visibilityProperty: true})) found.push(measured(one.textContent, one));
}
return found;
"""
)

# lines of drawings, with the contrast of each
DRAWN_LINES = (
    _COLOURS
    + """
return [...document.querySelectorAll("svg polyline")].filter((one) => one.checkVisibility()).map((one) => {
  const style = getComputedStyle(one), ink = rgba(style.stroke);
  const contrast = Math.min(...grounds(one).map((ground) => ratio(over(ink, ground), ground)));
  return {line: one.getAttribute("class"), contrast};
});
"""
)

# texts that are cut, or that lie over another of their kind or over a bar, each with what is wrong
BAD_LABELS = """
const drawn = (one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return range.getBoundingClientRect();
};
const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5
  && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
const found = [];
for (const group of document.querySelectorAll(".bars, .stage, .strip")) {
  const texts = [...group.querySelectorAll(".name, .value, .ticks span, .side, figcaption")];
  const plots = [...group.querySelectorAll(".plot")].map((one) => one.getBoundingClientRect());
  const frame = group.getBoundingClientRect();
  texts.forEach((one, place) => {
    const own = drawn(one);
    if (own.left < frame.left - 1 || own.right > frame.right + 1) found.push([one.textContent, "reaches out"]);
    if (one.scrollWidth > one.clientWidth + 1 && one.clientWidth) found.push([one.textContent, "is cut"]);
    if (plots.some((plot) => meet(own, plot))) found.push([one.textContent, "lies over a bar"]);
    const others = texts.slice(place + 1).filter((other) => meet(own, drawn(other)));
    found.push(...others.map((other) => [one.textContent, "lies over " + other.textContent]));
  });
}
return found;
"""

# tables, everything unfolded, that are wider than the page or have a text that reaches out of its cell
WIDE_TABLES = """
for (const one of document.querySelectorAll("details")) one.open = true;
const width = document.documentElement.clientWidth;
const out = (one) => one.getBoundingClientRect().right > width + 0.5 || one.scrollWidth > one.clientWidth + 1;
const tables = [...document.querySelectorAll("table")];
return tables.filter((one) => out(one) || [...one.querySelectorAll("th, td")].some(out)).map((one) => one.innerText);
"""

# how the line of each method looks in the spectrum
LINE_LOOKS = """
return [...document.querySelectorAll(".spectrum polyline")].map((one) => {
  const {stroke, strokeDasharray} = getComputedStyle(one);
  return [one.querySelector("title").textContent, stroke, strokeDasharray];
});
"""

# texts of drawings, with their size in CSS pixels
DRAWN_TEXTS = """
const drawn = "svg text, .bars .name, .bars .value, .bars .ticks span";
return [...document.querySelectorAll(drawn)].filter((one) => one.checkVisibility()).map((one) => {
  const {a, b} = one instanceof SVGElement ? one.getScreenCTM() : {a: 1, b: 0};
  return {text: one.textContent, pixels: parseFloat(getComputedStyle(one).fontSize) * Math.hypot(a, b)};
});
"""

# what reaches past an edge of the window, or past its own, and cannot be scrolled to inside its own box
TOO_WIDE = """
for (const one of document.querySelectorAll("details")) one.open = true;
const boxed = (element) => {
  for (let at = element.parentElement; at && at !== document.body; at = at.parentElement) {
    if (getComputedStyle(at).overflowX !== "visible") return true;
  }
  return false;
};
const width = document.documentElement.clientWidth;
const wide = [...document.body.querySelectorAll("*")].filter((one) => {
  const {left, right} = one.getBoundingClientRect();
  return (right > width + 0.5 || left < -0.5) && !boxed(one);
});
const name = (one) => `${one.tagName} ${one.id || one.getAttribute("class") || one.textContent.trim().slice(0, 40)}`;
const holders = "h1, h2, h3, h4, p, li, dt, dd, figcaption, label, summary, caption, th, td";
const tight = (one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1;
const cramped = [...document.body.querySelectorAll(holders)].filter(tight);
return {page: document.documentElement.scrollWidth, window: width, wide: wide.map(name), cramped: cramped.map(name)};
"""


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A Chromium without a window, with no network but this machine; it ends with the context.

    Its profile is fresh in `profile`. A machine without it leaves the test out by name, or fails where
    `MEDSR_REQUIRE_SERVICES=1`.
    """
    options = ChromeOptions()
    options.binary_location = needed("chromium", "chromium", PURPOSE)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--mute-audio"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--proxy-server=direct://"]
    drawing = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
    for argument in (*drawing, *quiet, *offline, *sandbox, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with Chrome(options, ChromeService(needed("chromedriver", "chromium-driver", PURPOSE))) as driver:
        yield driver


def emulate(driver: Chrome, *, scheme: str = "light", media: str = "") -> None:
    """Shows the page in the colours that a reader prefers, and for the screen or for `media="print"`."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def resize(driver: Chrome, width: int, height: int = 800) -> None:
    """Gives the page a window of `width` CSS pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def requests(driver: Chrome) -> list[dict[str, Any]]:
    """Everything that the page asked for since this was last called, and every request that failed."""
    messages = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    return [one for one in messages if one["method"] in ("Network.requestWillBeSent", "Network.loadingFailed")]
