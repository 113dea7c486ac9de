import base64
from pathlib import Path

import pytest

from components.handover import StepError
from components.pages.embedded import data_uri, expect


def test_a_picture_stands_in_the_page_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(range(256)))
    kind, _, content = data_uri(path).partition(",")
    assert kind == "data:image/png;base64" and base64.b64decode(content) == bytes(range(256))


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"a\.png: expected a picture .* Run evaluate again"):
        data_uri(tmp_path / "a.png")


def test_all_that_a_file_lacks_is_named_at_once(tmp_path: Path) -> None:
    expect(tmp_path, ["a", "b"], {"a": 1, "b": 2})
    with pytest.raises(StepError, match="expected b, c of a method, found none"):
        expect(tmp_path, ["a", "b", "c"], {"a": 1}, " of a method")
