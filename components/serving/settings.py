"""The settings of `medsr serve` in `infra/serve.yaml`, and their checks."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.handover import StepError
from components.params.sections import at_least, build_section


@dataclass(frozen=True)
class Peer:
    """A node that may send. Title and address both have to match: anybody can claim a title."""

    ae_title: str
    address: str  # an IP address

    def problems(self) -> Iterator[str]:
        yield from _title("ae_title", self.ae_title)
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            yield f"address: expected an IP address, found {self.address!r}"


@dataclass(frozen=True)
class Destination:
    """Where sharpened images go."""

    name: str
    ae_title: str
    host: str
    port: int
    tls: bool
    commits: bool  # whether it offers storage commitment: an image is let go when it has promised to keep it

    def problems(self) -> Iterator[str]:
        yield from _title("ae_title", self.ae_title)
        yield from _port("port", self.port)


@dataclass(frozen=True)
class Route:
    """Images sent to the AE title `called` go to `destination`."""

    called: str
    destination: str

    def problems(self) -> Iterator[str]:
        yield from _title("called", self.called)


@dataclass(frozen=True)
class Tls:
    """Files in PEM; all three, or none where there is to be no TLS."""

    certificate: str
    key: str
    authorities: str  # whose certificates peers and destinations have to show

    def problems(self) -> Iterator[str]:
        present = [bool(path) for path in (self.certificate, self.key, self.authorities)]
        if any(present) and not all(present):
            yield "expected certificate, key and authorities, or none of them"

    def __bool__(self) -> bool:
        return bool(self.certificate)


@dataclass(frozen=True)
class Node:
    host: str  # the address to listen at
    port: int
    ae_title: str  # how it calls itself when it sends
    associations: int  # at once
    association_gib: float  # that one may bring
    peers: tuple[Peer, ...]
    routes: tuple[Route, ...]
    destinations: tuple[Destination, ...]
    tls: Tls

    def problems(self) -> Iterator[str]:
        yield from _title("ae_title", self.ae_title)
        yield from _port("port", self.port)
        yield from at_least(self, 1, "associations")
        if self.association_gib <= 0:
            yield f"association_gib: expected more than 0, found {self.association_gib}"
        names = [destination.name for destination in self.destinations]
        yield from (f"destinations: {name} stands there twice" for name in sorted({*names}) if names.count(name) > 1)
        for route in self.routes:
            if route.destination not in names:
                yield f"routes: {route.called} goes to {route.destination}, which is no destination"
        if not self.routes:
            yield "routes: expected at least one"
        if not self.tls and any(destination.tls for destination in self.destinations):
            yield "tls: expected certificate, key and authorities, because a destination wants them"


@dataclass(frozen=True)
class Token:
    """A caller of the HTTP service. `medsr token NAME` shows the token once; only its digest is kept."""

    name: str
    sha256: str

    def problems(self) -> Iterator[str]:
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            yield "sha256: expected 64 hexadecimal digits, made by `medsr token NAME`"
        if not re.fullmatch("[A-Za-z0-9_.-]{1,64}", self.name):
            yield f"name: expected 1 to 64 letters, digits, dots, dashes or underscores, found {self.name!r}"


@dataclass(frozen=True)
class Http:
    host: str  # the address to listen at
    port: int
    requests: int  # at once
    parts: int  # images that one STOW-RS request may bring
    stow_to: str  # the destination of what comes by STOW-RS; empty where who sent it fetches it
    tokens: tuple[Token, ...]
    certificate: str  # with its key, in PEM; both empty where something before it does TLS
    key: str

    def problems(self) -> Iterator[str]:
        yield from _port("port", self.port)
        yield from at_least(self, 1, "requests", "parts")
        names = [token.name for token in self.tokens]
        yield from (f"tokens: {name} stands there twice" for name in sorted({*names}) if names.count(name) > 1)
        if bool(self.certificate) != bool(self.key):
            yield "certificate: expected it and its key, or none of them"


@dataclass(frozen=True)
class Limits:
    """Limits of one image. A larger image is refused, or set aside where it was already taken."""

    file_mib: float
    megapixels: float  # of a frame, decoded
    frames: int

    def problems(self) -> Iterator[str]:
        yield from at_least(self, 1, "file_mib", "megapixels", "frames")


@dataclass(frozen=True)
class Spooling:
    folder: str
    keep_free_gib: float  # below that nothing more is taken
    remember_hours: float  # what was sent is not done again when it comes again in that time; what is kept goes then


@dataclass(frozen=True)
class Serving:
    node: Node
    http: Http
    limits: Limits
    spool: Spooling
    at_once: int  # images made at the same time
    follow_s: float  # between looks at whom the registry calls champion
    retry_s: float  # before a destination that was away is tried again; doubles up to an hour

    def problems(self) -> Iterator[str]:
        yield from at_least(self, 1, "at_once")
        if self.http.stow_to not in ("", *(destination.name for destination in self.node.destinations)):
            yield f"http.stow_to: {self.http.stow_to} is no destination"


def load(path: Path) -> Serving:
    """The settings in `path`. Raises `StepError` with every problem."""
    if not path.is_file():
        raise StepError(f"{path}: expected the service's settings, found no file. Copy infra/serve.yaml.")
    problems: list[str] = []
    try:
        settings = build_section(Serving, yaml.safe_load(path.read_text(encoding="utf-8")), "", problems)
    except yaml.YAMLError as error:
        raise StepError(f"{path}: not YAML: {error}") from error
    if settings is None or problems:
        raise StepError(f"{path}: " + "; ".join(problems))
    return settings


def _title(name: str, title: str) -> Iterator[str]:
    if not title.strip() or len(title) > 16 or not title.isascii() or "\\" in title:
        yield f"{name}: expected an AE title, 1 to 16 ASCII characters without a backslash, found {title!r}"


def _port(name: str, port: int) -> Iterator[str]:
    if not 1 <= port <= 65535:
        yield f"{name}: expected a port from 1 to 65535, found {port}"
