"""The names that pages show for methods, opponents, classifiers and denoisers."""

from __future__ import annotations

from collections.abc import Iterable

from components.handover.methods import CHAMPION, CLASSIFIERS, GENERATORS, LEADER, TRAINED

NAMES = {"bicubic": "Bicubic"} | {name: TRAINED[name].title for name in GENERATORS}
OPPONENTS = {"bicubic": "bicubic", LEADER: "the best network of this run", CHAMPION: "the champion in service"}
CLASSIFIER_NAMES = {name: TRAINED[name].title for name in CLASSIFIERS}
DENOISERS = {"none": "none", "nlm": "Non-local means", "wavelet": "Wavelet", "bm3d": "BM3D"}


def display_names(methods: Iterable[str]) -> dict[str, str]:
    """Each method's name for display; another program keeps the name it was given."""
    return {method: NAMES.get(method, "Champion before" if method == CHAMPION else method) for method in methods}
