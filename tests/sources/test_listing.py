from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.handover import Layout, StepError, read_json
from components.params import Params
from components.sources import listing
from components.sources.listing import Change
from tests.settings import small


def settings(*super_resolution: str) -> Params:
    params = small()
    return replace(params, ingest=replace(params.ingest, super_resolution=super_resolution))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A project whose archive holds two files, one of them in a folder."""
    layout = Layout(tmp_path)
    layout.data.mkdir()
    (tmp_path / "archive" / "study").mkdir(parents=True)
    (tmp_path / "archive" / "a.dcm").write_bytes(b"a")
    (tmp_path / "archive" / "study" / "b.dcm").write_bytes(b"b")
    return layout


ARCHIVE = "dicom:archive"


def test_what_is_new_is_seen_once(layout: Layout) -> None:
    assert listing.look(layout, settings(ARCHIVE)).changes == (Change(ARCHIVE, came=2, went=0, altered=0),)
    assert listing.look(layout, settings(ARCHIVE)).changes == ()
    assert read_json(layout.sources)["sources"][ARCHIVE]["files"] == 2


@pytest.mark.parametrize(
    ("change", "files"), [("add", (1, 0, 0)), ("alter", (0, 0, 1)), ("rename", (1, 1, 0)), ("remove", (0, 1, 0))]
)
@pytest.mark.parametrize("kind", ["dicom", "pictures", "nifti"])
def test_every_kind_of_change_is_seen_in_every_kind_of_folder(
    layout: Layout, kind: str, change: str, files: tuple[int, int, int]
) -> None:
    source = f"{kind}:archive"
    listing.look(layout, settings(source))
    first = layout.root / "archive" / "a.dcm"
    if change == "add":
        (first.parent / "c.dcm").write_bytes(b"c")
    elif change == "alter":
        first.write_bytes(b"x")  # as long as before
    elif change == "rename":
        first.rename(first.with_name("z.dcm"))
    else:
        first.unlink()
    assert listing.look(layout, settings(source)).changes == (Change(source, *files),)
    assert listing.look(layout, settings(source)).changes == ()


def test_a_set_in_one_file_is_seen_to_change(layout: Layout) -> None:
    (layout.root / "set.npz").write_bytes(b"a")
    source = "npz:set.npz"
    assert listing.look(layout, settings(source)).changes == (Change(source, 1, 0, 0),)
    (layout.root / "set.npz").write_bytes(b"b")
    assert listing.look(layout, settings(source)).changes == (Change(source, 0, 0, 1),)
    assert listing.look(layout, settings(source)).changes == ()


def test_a_file_that_was_only_touched_is_the_same(layout: Layout) -> None:
    listing.look(layout, settings(ARCHIVE))
    os.utime(layout.root / "archive" / "a.dcm", (1, 1))
    assert listing.look(layout, settings(ARCHIVE)).changes == ()


def test_an_archive_that_moved_as_a_whole_gives_the_same_digest(layout: Layout) -> None:
    listing.look(layout, settings(ARCHIVE))
    before = read_json(layout.sources)["sources"][ARCHIVE]
    (layout.root / "archive").rename(layout.root / "elsewhere")
    listing.look(layout, settings("dicom:elsewhere"))
    assert read_json(layout.sources)["sources"] == {"dicom:elsewhere": before}, (
        "and the source that was there before is gone"
    )


def test_comparing_changes_nothing_and_says_how_young_the_news_is(layout: Layout) -> None:
    listing.look(layout, settings(ARCHIVE))
    before = layout.sources.read_text()
    new = layout.root / "archive" / "c.dcm"
    new.write_bytes(b"c")
    seen = listing.compare(layout, settings(ARCHIVE))
    assert seen.changes == (Change(ARCHIVE, 1, 0, 0),) and 0 <= seen.youngest_s < 300
    assert layout.sources.read_text() == before


@pytest.mark.parametrize("days", [-300, 300])
def test_how_young_a_file_is_goes_by_when_it_came_whatever_its_mtime_says(layout: Layout, days: float) -> None:
    for path in (layout.root / "archive").rglob("*.dcm"):
        os.utime(path, (time.time() + 86_400 * days,) * 2)
    assert 0 <= listing.compare(layout, settings(ARCHIVE)).youngest_s < 300


def test_a_clock_that_was_put_back_makes_no_file_younger_than_new(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "time", SimpleNamespace(time=lambda: 1e9))
    assert listing.compare(layout, settings(ARCHIVE)).youngest_s == 0


def test_a_name_that_is_not_utf_8_counts_as_any_other(layout: Layout) -> None:
    named = layout.root / "archive" / os.fsdecode(b"M\xfcller.dcm")
    named.write_bytes(b"c")
    assert listing.look(layout, settings(ARCHIVE)).changes == (Change(ARCHIVE, 3, 0, 0),)
    assert (
        listing.look(layout, settings(ARCHIVE)).changes == ()
        and read_json(layout.sources)["sources"][ARCHIVE]["files"] == 3
    )
    named.rename(named.with_name(os.fsdecode(b"M\xf6ller.dcm")))
    assert listing.look(layout, settings(ARCHIVE)).changes == (Change(ARCHIVE, 1, 1, 0),)


def test_a_file_that_did_not_change_is_not_read_again(layout: Layout) -> None:
    listing.look(layout, settings(ARCHIVE))
    kept = layout.root / "archive" / "a.dcm"
    status = kept.stat()
    kept.write_bytes(b"x")
    os.utime(kept, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listing.look(layout, settings(ARCHIVE)).changes == (), "size and time say that it is the same"


def test_a_list_is_followed_to_the_files_it_names(layout: Layout) -> None:
    (layout.root / "archive" / "list.csv").write_text("file,label\na.dcm,1\nstudy/b.dcm,0\n")
    source = "pictures:archive/list.csv"
    listing.look(layout, settings(source))
    (layout.root / "archive" / "study" / "b.dcm").write_bytes(b"other")
    (layout.root / "archive" / "unlisted.dcm").write_bytes(b"c")
    assert listing.look(layout, settings(source)).changes == (Change(source, 0, 0, 1),)
    assert read_json(layout.sources)["sources"][source]["files"] == 3, "the list and what it names"


def test_sources_inside_packages_change_with_the_code_alone(layout: Layout) -> None:
    assert listing.look(layout, settings("pydicom-data")).changes == ()
    assert read_json(layout.sources) == {"outside": [], "sources": {}}
    assert not layout.files.exists()


def test_a_source_that_is_not_there_is_named(layout: Layout) -> None:
    with pytest.raises(StepError, match=r"source dicom:nowhere: expected a folder or a file.*params\.yaml"):
        listing.look(layout, settings("dicom:nowhere"))
