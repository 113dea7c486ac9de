"""Reads tables of private sources under the names that their files came with."""

from __future__ import annotations

from components.handover import Layout
from components.sources.file_register import FileRegister


def name_of(layout: Layout, key: str) -> str:
    """The name below its source of the one file whose key or image_id is `key`."""
    (origin,) = FileRegister(layout.files).find(key)
    return origin.name


def with_names(layout: Layout, text: str) -> str:
    """`text` with every key replaced by the name of its file."""
    for origin in FileRegister(layout.files).all():
        text = text.replace(origin.key, origin.name)
    return text
