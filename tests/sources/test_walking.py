"""What stands in a folder besides plain files: each entry once, with its path or its reason."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from components.sources import dicom_folder, nifti, pictures
from components.sources.items import Unreadable
from components.sources.walking import walk
from tests.settings import small

UNPRIVILEGED = """
import os, sys
from pathlib import Path
from components.sources.walking import walk
os.chdir({folder!r})
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for entry in walk(Path(".")):
    print(entry.name, entry.path, entry.reason, sep="|")
"""


def reasons(folder: Path) -> dict[str, str]:
    entries = walk(folder)
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(
        entry.path == folder / entry.name for entry in entries if entry.name.isascii() and "\\" not in entry.name
    )
    return {entry.name: entry.reason for entry in entries}


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")


def test_plain_files_come_by_path(tmp_path: Path) -> None:
    files(tmp_path, "b/2.dcm", "a.dcm", "b/10.dcm", "b/deep/1.dcm")
    (tmp_path / "empty").mkdir()
    assert [(entry.name, entry.path) for entry in walk(tmp_path)] == [
        (name, tmp_path / name) for name in ("a.dcm", "b/10.dcm", "b/2.dcm", "b/deep/1.dcm")
    ]


def test_a_link_to_a_file_inside_is_followed_and_one_without_a_target_has_a_row(tmp_path: Path) -> None:
    files(tmp_path, "store/1.dcm")
    (tmp_path / "good.dcm").symlink_to("store/1.dcm")
    (tmp_path / "gone.dcm").symlink_to("store/2.dcm")
    (tmp_path / "round.dcm").symlink_to("round.dcm")
    found = reasons(tmp_path)
    assert found["good.dcm"] == found["store/1.dcm"] == ""
    assert "a link whose target is not there" in found["gone.dcm"]
    assert "a link that leads back to itself" in found["round.dcm"]


def test_the_files_of_a_folder_with_two_names_are_met_once(tmp_path: Path) -> None:
    files(tmp_path, "series/1.dcm", "series/2.dcm")
    (tmp_path / "again").symlink_to("series")
    (tmp_path / "before").symlink_to(tmp_path / "series", target_is_directory=True)
    found = reasons(tmp_path)
    assert [name for name, reason in found.items() if not reason] == ["series/1.dcm", "series/2.dcm"]
    assert "a second name of a folder" in found["again"] and "a second name" in found["before"]


def test_links_to_the_folders_above_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "a/b/1.dcm")
    (tmp_path / "a" / "b" / "up").symlink_to("..")
    (tmp_path / "a" / "all").symlink_to(tmp_path)
    found = reasons(tmp_path)
    assert set(found) == {"a/b/1.dcm", "a/b/up", "a/all"}
    assert all("a link to a folder that holds it" in found[name] for name in ("a/b/up", "a/all"))


def test_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    files(tmp_path, "in/1.dcm", "out/2.dcm")
    (tmp_path / "in" / "series").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "2.dcm").symlink_to(tmp_path / "out" / "2.dcm")
    found = reasons(tmp_path / "in")
    assert all("a link that leads out of it. Copy its target" in found[name] for name in ("series", "2.dcm"))
    assert found["1.dcm"] == ""


def test_a_source_that_is_a_link_itself_is_read(tmp_path: Path) -> None:
    files(tmp_path, "real/1.dcm", "real/b/2.dcm")
    (tmp_path / "real" / "again.dcm").symlink_to("1.dcm")
    (tmp_path / "link").symlink_to("real")
    assert reasons(tmp_path / "link") == {"1.dcm": "", "again.dcm": "", "b/2.dcm": ""}


def test_pipes_and_sockets_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    os.mkfifo("pipe.dcm")
    (tmp_path / "to_pipe.dcm").symlink_to("pipe.dcm")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.dcm")
        found = reasons(tmp_path)
    assert set(found) == {"pipe.dcm", "socket.dcm", "to_pipe.dcm"}
    assert all("a pipe, a socket or a device" in reason for reason in found.values())


def test_a_name_that_is_not_utf_8_is_shown_as_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"m\xfcller")).mkdir()
    files(tmp_path, os.fsdecode(b"m\xfcller/1.dcm"), os.fsdecode(b"2\xff.dcm"), "grün.dcm")
    found = reasons(tmp_path)
    assert set(found) == {"m\\xfcller/1.dcm", "2\\xff.dcm", "grün.dcm"}
    assert found.pop("grün.dcm") == ""
    assert all("expected a name in UTF-8" in reason for reason in found.values())


def test_what_may_not_be_read_has_its_row(tmp_path: Path) -> None:
    """In a process without the rights of an administrator, who may read everything."""
    folder = tmp_path / "in"
    files(folder, "1.dcm", "2.dcm", "closed/3.dcm", "listed/4.dcm")
    folder.chmod(0o755)
    (folder / "1.dcm").chmod(0o644)
    (folder / "2.dcm").chmod(0o000)
    (folder / "closed").chmod(0o000)
    (folder / "listed").chmod(0o644)
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}" + UNPRIVILEGED.format(folder=str(folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    for name in ("closed", "listed"):
        (folder / name).chmod(0o755)
    found = {name: (path, reason) for name, path, reason in (line.split("|") for line in done.stdout.splitlines())}
    assert set(found) == {"1.dcm", "2.dcm", "closed", "listed/4.dcm"}
    assert found.pop("1.dcm") == ("1.dcm", "")
    assert all("permission denied" in reason for _, reason in found.values())


def test_every_kind_of_source_lists_what_cannot_be_opened(tmp_path: Path) -> None:
    files(tmp_path, "well/1.dcm", "well/2.png", "well/3.nii.gz")
    for name in ("well/gone.dcm", "well/gone.png", "well/gone.nii.gz"):
        (tmp_path / name).symlink_to("nowhere")
    (tmp_path / "again").symlink_to("well")
    listed = {
        source: {item.name for item in items(str(tmp_path), small()) if isinstance(item, Unreadable)}
        for source, items in (("dicom", dicom_folder.items), ("pictures", pictures.items), ("nifti", nifti.items))
    }
    assert listed["dicom"] == listed["pictures"] == {"well/gone.dcm", "well/gone.png", "well/gone.nii.gz", "again"}
    assert listed["nifti"] == {"well/gone.nii.gz", "again"}
    labels = {item.name: item.label for item in pictures.items(str(tmp_path), small())}
    assert labels["well/gone.png"] == "well" and labels["again"] == ""


def test_labels_name_files_through_links_too(tmp_path: Path) -> None:
    files(tmp_path, "store/1.dcm", "store/2.dcm")
    (tmp_path / "series").symlink_to("store")
    (tmp_path / "labels.csv").write_text("file,label\nseries/1.dcm,ill\nstore/2.dcm,well\n")
    labels = {item.name: item.label for item in dicom_folder.items(str(tmp_path), small())}
    assert labels == {"store/1.dcm": "ill", "store/2.dcm": "well", "series": ""}
