"""DICOM nodes around the service: one that sends, one that takes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel
from torch import nn

from components.learning.inference.generator import Generator
from components.serving.settings import (
    Destination,
    Http,
    Limits,
    Node,
    Peer,
    Route,
    Serving,
    Spooling,
    Tls,
    Token,
)  # fmt: skip

HOST = "127.0.0.1"
BICUBIC = Generator(nn.Upsample(scale_factor=2, mode="bicubic"), 2, "sr-generator", "3", (0.1, 99.9))
NO_TLS = Tls("", "", "")
TOKENS = {"ward": "token-of-the-ward", "lab": "token-of-the-lab"}
HTTP = Http(
    host=HOST,
    port=0,
    requests=64,
    parts=100,
    stow_to="archive",
    tokens=tuple(Token(name, sha256(token.encode()).hexdigest()) for name, token in TOKENS.items()),
    certificate="",
    key="",
)
LIMITS = Limits(file_mib=64.0, megapixels=20.0, frames=200)


@dataclass
class Archive:
    """A destination: what it was sent, by SOP Instance UID, as often as it was."""

    port: int = 0
    status: int = 0x0000
    taken: dict[str, list[Dataset]] = field(default_factory=dict)
    asked: list[Dataset] = field(default_factory=list)  # to promise, transaction by transaction
    asked_status: int = 0x0000
    failing: dict[str, int] = field(default_factory=dict)  # why it does not promise to keep an instance
    answers: bool = True  # on the association on which it was asked

    def report(self, request: Dataset) -> tuple[Dataset, int]:
        """What it promises, and the event's type."""
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for item in request.ReferencedSOPSequence:
            number = item.ReferencedSOPInstanceUID
            reason = self.failing.get(number, 0 if number in self.taken else 0x0112)
            if reason:
                item.FailureReason = reason
            (report.FailedSOPSequence if reason else report.ReferencedSOPSequence).append(item)
        if not report.FailedSOPSequence:
            del report.FailedSOPSequence
        return report, 2 if "FailedSOPSequence" in report else 1


INSTANCE = "1.2.840.10008.1.20.1.1"


def answer(port: int, report: Dataset, kind: int, calling: str = "ARCHIVE", called: str = "MEDSR") -> int | None:
    """The status that a report got on an association of its own; nothing where it was not let in."""
    entity = AE(calling)
    entity.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = entity.associate(HOST, port, ae_title=called, ext_neg=[role])
    if not association.is_established:
        return None
    try:
        status, _ = association.send_n_event_report(report, kind, StorageCommitmentPushModel, INSTANCE)
        return int(status.Status)
    finally:
        association.release()


@contextmanager
def archive(port: int = 0, status: int = 0x0000, kinds: Iterable[str] = ()) -> Iterator[Archive]:
    found = Archive(status=status)

    def tell(association: Any, report: Dataset, kind: int) -> None:
        with suppress(RuntimeError):  # who asked may be gone by now
            association.send_n_event_report(report, kind, StorageCommitmentPushModel, INSTANCE)

    def asked(event: Any) -> tuple[int, None]:
        found.asked.append(event.action_information)
        if found.answers and not found.asked_status:
            report, kind = found.report(event.action_information)
            threading.Timer(0.1, tell, (event.assoc, report, kind)).start()
        return found.asked_status, None

    def store(event: Any) -> int:
        if found.status == 0x0000:
            image = event.dataset
            image.file_meta = event.file_meta
            found.taken.setdefault(image.SOPInstanceUID, []).append(image)
        return found.status

    entity = AE("ARCHIVE")
    if kinds:
        for kind in kinds:
            entity.add_supported_context(kind, ALL_TRANSFER_SYNTAXES)
    else:
        entity.supported_contexts = AllStoragePresentationContexts
        entity.add_supported_context(StorageCommitmentPushModel)
    handlers: list[Any] = [(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, asked)]
    server = entity.start_server((HOST, port), block=False, evt_handlers=handlers)
    found.port = server.server_address[1]
    try:
        yield found
    finally:
        entity.shutdown()


def committing(port: int) -> tuple[Destination, ...]:
    """An archive that is asked whether it keeps what it was sent."""
    return (Destination("archive", "ARCHIVE", HOST, port, tls=False, commits=True),)


def settings(archive_port: int, spool: str = "spool", port: int = 0, **node: Any) -> Serving:
    """Everything allowed from this machine as SENDER, and sent on to ARCHIVE."""
    known: dict[str, Any] = {
        "host": HOST,
        "port": port,
        "ae_title": "MEDSR",
        "associations": 16,
        "association_gib": 1.0,
        "peers": (Peer("SENDER", HOST),),
        "routes": (Route("MEDSR", "archive"),),
        "destinations": (Destination("archive", "ARCHIVE", HOST, archive_port, tls=False, commits=False),),
        "tls": NO_TLS,
    }
    return Serving(Node(**known | node), HTTP, LIMITS, Spooling(spool, 0.0, 24.0), at_once=2, follow_s=0.1, retry_s=0.2)


@contextmanager
def associated(
    port: int,
    kind: str,
    calling: str = "SENDER",
    called: str = "MEDSR",
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
    **more: Any,
) -> Iterator[Any]:
    """An association for images of `kind`, refused ones too."""
    entity = AE(calling)
    entity.add_requested_context(kind, list(syntaxes))
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate(HOST, port, ae_title=called, **more)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(port: int, images: Iterable[Dataset | Path], kind: str) -> list[int]:
    """The status that each got; -1 where there was none."""
    with associated(port, kind) as association:
        if not association.is_established:
            return [-1 for _ in images]
        return [_sent(association, image) for image in images]


def _sent(association: Any, image: Dataset | Path) -> int:
    try:
        return int(association.send_c_store(image).get("Status", -1))
    except RuntimeError:
        return -1
