"""When two person names are one: PS3.5 6.2 and its note on the component groups of PN."""

from __future__ import annotations

import re
import unicodedata


def compared(name: str) -> str:
    """What is equal for two spellings of one name; empty where there is none.

    Case, padding, empty components at the end and the form of Unicode do not count. The alphabetic group alone is
    compared; where it is empty, the ideographic one, and where both are, the phonetic one. UTF-8 that was read as
    Latin-1, because no character set is declared, is the text that it stands for.
    """
    for group in _as_meant(name).split("="):
        components = [_plain(component) for component in group.split("^")]
        while components and not components[-1]:
            components.pop()
        if any(components):
            return "^".join(components)
    return ""


def words(text: str) -> frozenset[str]:
    """The words of a name or of text about it that can tell of a person: from 3 letters on, outside ASCII from 2 on."""
    found = re.findall(r"[^\W\d_]+", _plain(text))
    return frozenset(word for word in found if len(word) >= (3 if word.isascii() else 2))


def _as_meant(name: str) -> str:
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _plain(component: str) -> str:
    folded = unicodedata.normalize("NFKC", component).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).replace("\0", " ").split())
