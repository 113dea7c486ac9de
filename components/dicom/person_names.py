"""When two person names are one: PS3.5 6.2 and its note on the component groups of PN."""

from __future__ import annotations

import unicodedata


def compared(name: str) -> str:
    """What is equal for two spellings of one name; empty where there is none.

    Case, padding, empty components at the end and the form of Unicode do not count. The alphabetic group alone is
    compared; where it is empty, the ideographic one, and where both are, the phonetic one.
    """
    for group in name.split("="):
        components = [_plain(component) for component in group.split("^")]
        while components and not components[-1]:
            components.pop()
        if any(components):
            return "^".join(components)
    return ""


def _plain(component: str) -> str:
    folded = unicodedata.normalize("NFKC", component).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).replace("\0", " ").split())
