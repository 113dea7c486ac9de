"""Enhances the images of a folder with the champion, each image once; for the scheduled inbox."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from components.adapters import registry
from components.adapters.dicomweb import Remote
from components.enhance import HALF_MADE, enhance_file
from components.handover import Layout, StepError
from components.imaging.decoding import BROKEN, UnreadableImage
from components.learning.inference.generator import Generator
from components.serving.record import record

REASON = ".failed.txt"  # beside where the image would be; remove it, or bring the image again, and it is tried again
QUIET_S = 60.0  # a file that was written to since may still be arriving


@dataclass
class Batch:
    """The outcome of the images of a folder, by their names relative to it."""

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # with the reason
    before: int = 0  # done, or found wanting, by an earlier run
    arriving: int = 0
    others: int = 0  # in an archive that was asked: no images that can be sharpened, or made by us

    def add(self, name: str, failure: str) -> None:
        """Counts an image. `failure` is the reason where it failed, else empty."""
        if failure:
            self.failed[name] = failure
        else:
            self.made.append(name)

    def summary(self) -> str:
        """The counts in one sentence."""
        counts = f"{len(self.made)} enhanced, {len(self.failed)} failed, {self.before} done before"
        counts += f", {self.arriving} still arriving" if self.arriving else ""
        return f"{counts}, {self.others} others passed over" if self.others else counts


@dataclass(frozen=True)
class Place:
    """An image, and the place of its enhanced image: `name`, relative to the outbox."""

    source: Path | Remote
    name: str
    give_back: bool = False  # to the archive it is from, before it counts as done


def run(layout: Layout, inbox: Path, outbox: Path, say: Callable[[str], None], quiet_s: float | None = None) -> Batch:
    """Enhances the images below `inbox` into the same places below `outbox`, unless they are there already.

    An image that cannot be enhanced leaves its reason there instead. After an interruption the next run goes on. `say`
    gets each image's number in this run, because file names are often names of patients. Raises `StepError` without an
    inbox or a champion.
    """
    if not inbox.is_dir():
        raise StepError(f"{inbox}: expected a folder of images to enhance, found none. Make it, or rest the schedule.")
    generator: Generator | None = None
    batch = Batch()
    with claimed(outbox):
        places = waiting(places_in(inbox, outbox), outbox, batch, QUIET_S if quiet_s is None else quiet_s)
        for number, place in enumerate(places, start=1):
            generator = generator or registry.load_generator(layout)
            failure = enhance_one(layout, place, outbox, generator)
            batch.add(place.name, failure)
            say(f"image {number}: {'failed' if failure else 'enhanced'}")
    return batch


@contextmanager
def claimed(outbox: Path) -> Iterator[None]:
    """Locks `outbox` for the length of the block, and removes half-made images there.

    Raises `StepError` where another process holds it.
    """
    outbox.mkdir(parents=True, exist_ok=True)
    number = os.open(outbox, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepError(f"{outbox}: expected nobody at work on it, another run is. Wait for it.") from error
        for leftover in list(outbox.rglob(f"{HALF_MADE}*")):
            shutil.rmtree(leftover)
        yield
    finally:
        os.close(number)


def places_in(inbox: Path, outbox: Path) -> Iterator[Place]:
    """Every file below `inbox`, except hidden files and those of an outbox inside it."""
    for path in sorted(inbox.rglob("*")):
        names = path.relative_to(inbox).parts
        if path.is_file() and not any(name.startswith(".") for name in names) and not path.is_relative_to(outbox):
            yield Place(path, str(path.relative_to(inbox)))


def waiting(places: Iterable[Place], outbox: Path, batch: Batch, quiet_s: float) -> Iterator[Place]:
    """Gives the `places` to do now, and counts the others in `batch`."""
    for place in places:
        # its mtime may be that of the place it was copied from; what an archive holds under a UID stays what it is
        arrived = place.source.stat().st_ctime if isinstance(place.source, Path) else 0.0
        if any(end.is_file() and end.stat().st_mtime >= arrived for end in _ends(place, outbox)):
            batch.before += 1
        elif time.time() - arrived < quiet_s:
            batch.arriving += 1
        else:
            yield place


def enhance_one(layout: Layout, place: Place, outbox: Path, generator: Generator) -> str:
    """Enhances one image. Gives the reason where that fails and writes it beside the place. Raises machine failures."""
    derived, reason = _ends(place, outbox)
    if isinstance(place.source, Path):
        failure = _enhance(layout, place.source, derived, generator)
    else:
        failure = _fetch_and_enhance(layout, place.source, derived, generator, place.give_back)
    if failure:
        write_reason(place, outbox, failure)
    else:
        reason.unlink(missing_ok=True)
    return failure


def write_reason(place: Place, outbox: Path, failure: str) -> None:
    """Writes the reason why there is no image at its place."""
    _, reason = _ends(place, outbox)
    reason.parent.mkdir(parents=True, exist_ok=True)
    reason.write_text(f"{failure}\n", encoding="utf-8", errors="backslashreplace")  # names are bytes, not always UTF-8


def reason_of(place: Place, outbox: Path) -> str:
    """Why there is no image at its place; empty where there is one."""
    _, reason = _ends(place, outbox)
    return reason.read_text(encoding="utf-8").strip() if reason.is_file() else ""


def _ends(place: Place, outbox: Path) -> tuple[Path, Path]:
    """The paths of the enhanced image and of the reason; one of them exists once the image is done."""
    return outbox / place.name, outbox / f"{place.name}{REASON}"


def _enhance(layout: Layout, source: Path, derived: Path, generator: Generator) -> str:
    """Enhances a file. Gives the reason where that fails."""

    def work() -> None:
        record(layout, enhance_file(source, derived, generator, overwrite=True), generator.percentiles)

    return _failure(work, source.name)


def _fetch_and_enhance(layout: Layout, source: Remote, destination: Path, generator: Generator, give_back: bool) -> str:
    """Enhances an image of an archive, without keeping what it fetches. Gives the reason where that fails."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=destination.parent, prefix=HALF_MADE) as folder:
        image, derived = Path(folder) / destination.name, Path(folder) / f"derived-{destination.name}"

        def work() -> None:
            source.fetch(image)
            enhanced = enhance_file(image, derived, generator)
            if give_back:
                source.give_back(derived)
            derived.replace(destination)
            record(layout, enhanced, generator.percentiles)

        return _failure(work, destination.name).replace(f"{folder}{os.sep}", "")


def _failure(work: Callable[[], None], name: str) -> str:
    """Gives the reason why `work` on one image failed. Raises failures of the machine or the archive."""
    try:
        work()
    except (UnreadableImage, StepError) as error:
        return str(error)
    except OSError:
        raise
    except BROKEN as error:  # one strange image must not keep out those that come after it
        return f"{name}: {type(error).__name__}: {error}"
    return ""
