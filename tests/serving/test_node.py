from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, EncapsulatedPDFStorage

from components.serving.node import OUT_OF_RESOURCES, SUCCESS, Storage, tls_context
from components.serving.settings import Peer, Route, Tls
from components.serving.spool import WAITING, Spool
from tests.drawing import dicom, shapes, write_dicom
from tests.serving.nodes import HOST, associated, committing, send, settings

pytestmark = pytest.mark.service


@contextmanager
def listening(spool: Spool, **node: Any) -> Iterator[int]:
    with Storage(settings(1, **node).node, spool, lambda: None, lambda *_: (SUCCESS, None)).listening() as port:
        yield port


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def port(spool: Spool) -> Iterator[int]:
    with listening(spool) as port:
        yield port


def drawn(seed: int = 0, side: int = 40) -> FileDataset:
    return dicom((shapes(side, side, seed=seed) * 3000).astype(np.uint16))


def test_an_image_is_kept_as_it_was_sent_and_acknowledged(spool: Spool, port: int, tmp_path: Path) -> None:
    image = drawn()
    with associated(port, CTImageStorage) as association:
        assert association.send_c_store(write_dicom(tmp_path / "image.dcm", image)).Status == SUCCESS
    (job,) = spool.listed(WAITING)
    assert (job.destination, job.calling) == ("archive", "SENDER")
    kept = dcmread(spool.folder(WAITING, job.key) / "image.dcm")
    assert kept == image and kept.file_meta.TransferSyntaxUID == image.file_meta.TransferSyntaxUID
    assert not list(spool.incoming.iterdir()), "nothing is left of what arrived"


def test_an_image_that_is_sent_again_is_acknowledged_and_kept_once(spool: Spool, port: int) -> None:
    image = drawn()
    assert send(port, [image, image], CTImageStorage) == [SUCCESS, SUCCESS]
    assert len(spool.listed(WAITING)) == 1


def test_an_echo_is_answered(port: int) -> None:
    with associated(port, CTImageStorage) as association:
        assert association.send_c_echo().Status == SUCCESS


@pytest.mark.parametrize(
    ("calling", "called", "peers", "is_told"),
    [
        ("STRANGER", "MEDSR", (Peer("SENDER", HOST),), True),
        ("SENDER", "ELSEWHERE", (Peer("SENDER", HOST),), True),
        ("SENDER", "MEDSR", (Peer("SENDER", "192.0.2.7"), Peer("OTHER", HOST)), True),
        ("SENDER", "MEDSR", (Peer("SENDER", "192.0.2.7"),), False),
        ("sender", "MEDSR", (Peer("SENDER", HOST),), True),
        ("SENDER", "MEDSR", (), False),
    ],
)
def test_nobody_else_is_let_in_nor_told_at_another_address(
    spool: Spool, calling: str, called: str, peers: tuple[Peer, ...], is_told: bool
) -> None:
    with listening(spool, peers=peers) as port, associated(port, CTImageStorage, calling, called) as association:
        assert association.is_rejected == is_told and not association.is_established
    assert not any(spool.counts().values())


def test_the_called_title_says_where_an_image_goes(spool: Spool) -> None:
    archive = settings(1).node.destinations[0]
    node = {
        "routes": (Route("MEDSR", "archive"), Route("SHARP", "reading")),
        "destinations": (archive, replace(archive, name="reading")),
    }
    with listening(spool, **node) as port:
        for called in ("MEDSR", "SHARP"):
            with associated(port, CTImageStorage, called=called) as association:
                assert association.send_c_store(drawn()).Status == SUCCESS
    assert [job.destination for job in spool.listed(WAITING)] == ["archive", "reading"]


def test_what_is_no_image_is_not_offered_a_place(port: int) -> None:
    with associated(port, EncapsulatedPDFStorage) as association:
        accepted = {context.abstract_syntax for context in association.accepted_contexts}
    assert EncapsulatedPDFStorage not in accepted


def test_without_room_an_image_is_refused_and_the_next_is_taken_once_there_is(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", keep_free_bytes=2**60)
    with listening(spool) as port:
        assert send(port, [drawn()], CTImageStorage) == [OUT_OF_RESOURCES]
        spool._keep_free = 0
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]
    assert len(spool.listed(WAITING)) == 1


def test_a_sender_that_brings_too_much_is_cut_off_and_others_are_served(spool: Spool) -> None:
    with listening(spool, association_gib=2**-20) as port:
        assert send(port, [drawn(side=400)], CTImageStorage) == [-1]
        assert not spool.listed(WAITING)
    with listening(spool) as port:
        assert send(port, [drawn()], CTImageStorage) == [SUCCESS]


def test_more_associations_than_allowed_are_turned_away_for_now(spool: Spool) -> None:
    with listening(spool, associations=2) as port, ExitStack() as held:
        first = [held.enter_context(associated(port, CTImageStorage)) for _ in range(2)]
        assert all(one.is_established for one in first)
        third = held.enter_context(associated(port, CTImageStorage))
        assert third.is_rejected


@pytest.mark.parametrize(
    "noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\xff\xff\xff\xff", b"\x04\x00" + b"\x00" * 64]
)
def test_noise_on_the_line_disturbs_nobody(spool: Spool, port: int, noise: bytes) -> None:
    with socket.create_connection((HOST, port), timeout=10) as line:
        line.sendall(noise)
    assert send(port, [drawn()], CTImageStorage) == [SUCCESS]


def test_an_association_that_breaks_off_leaves_nothing(spool: Spool, port: int) -> None:
    with associated(port, CTImageStorage) as association:
        assert association.send_c_store(drawn()).Status == SUCCESS
        association.abort()
    assert len(spool.listed(WAITING)) == 1
    assert send(port, [drawn(1)], CTImageStorage) == [SUCCESS]


def signed(folder: Path, name: str) -> Tls:
    """A certificate for 127.0.0.1 that is its own authority."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return Tls(str(certificate), str(key), str(certificate))


def test_with_tls_only_who_shows_a_certificate_gets_in_and_what_goes_out_is_shown_one_too(
    spool: Spool, tmp_path: Path
) -> None:
    ours, theirs = signed(tmp_path, "ours"), signed(tmp_path, "theirs")
    right, wrong = (tls_context(tls, ssl.PROTOCOL_TLS_CLIENT) for tls in (ours, theirs))
    with listening(spool, tls=ours) as port:
        with associated(port, CTImageStorage, tls_args=(right, HOST)) as association:
            assert association.send_c_store(drawn()).Status == SUCCESS
        for stranger in ((wrong, HOST), None):
            with associated(port, CTImageStorage, tls_args=stranger) as association:
                assert not association.is_established
        with associated(port, CTImageStorage, tls_args=(right, HOST)) as association:
            assert association.is_established, "strangers at the door keep nobody out"
    assert len(spool.listed(WAITING)) == 1


def test_an_image_that_would_fill_the_disk_is_broken_off_and_the_next_is_told_that_there_is_no_room(
    spool: Spool, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = dicom(np.zeros((4000, 5000), np.uint16))  # 40 MB
    monkeypatch.setattr(spool, "_keep_free", 2**60)
    assert send(port, [large], CTImageStorage) == [-1]
    assert send(port, [drawn()], CTImageStorage) == [OUT_OF_RESOURCES]
    monkeypatch.undo()
    assert send(port, [large], CTImageStorage) == [SUCCESS]
    assert len(spool.listed(WAITING)) == 1


def test_a_destination_may_answer_and_not_send(spool: Spool) -> None:
    with (
        listening(spool, destinations=committing(1)) as port,
        associated(port, CTImageStorage, calling="ARCHIVE") as association,
    ):
        assert not association.is_established
    with (
        listening(spool, destinations=committing(1), peers=(Peer("ARCHIVE", HOST),)) as port,
        associated(port, CTImageStorage, calling="ARCHIVE") as association,
    ):
        assert association.send_c_store(drawn()).Status == SUCCESS
    assert len(spool.listed(WAITING)) == 1
