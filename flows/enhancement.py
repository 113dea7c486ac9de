"""Many images through the champion: a folder that is looked at by schedule, each image once."""

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
    """What became of the images of a folder; names relative to it."""

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # with the reason
    before: int = 0  # done, or found wanting, by an earlier run
    arriving: int = 0
    others: int = 0  # in an archive that was asked: no images that can be sharpened, or made by us

    def add(self, name: str, failure: str) -> None:
        """One more that was looked at; `failure` says why it could not be, or nothing."""
        if failure:
            self.failed[name] = failure
        else:
            self.made.append(name)

    def said(self) -> str:
        """One sentence."""
        told = f"{len(self.made)} enhanced, {len(self.failed)} failed, {self.before} done before"
        told += f", {self.arriving} still arriving" if self.arriving else ""
        return f"{told}, {self.others} others passed over" if self.others else told


@dataclass(frozen=True)
class Place:
    """An image, and where what is made of it goes: `name`, relative to the outbox."""

    source: Path | Remote
    name: str
    give_back: bool = False  # to the archive it is from, before it counts as done


def run(layout: Layout, inbox: Path, outbox: Path, say: Callable[[str], None], quiet_s: float | None = None) -> Batch:
    """Enhances what lies below `inbox` into the same places below `outbox`, whatever is not there yet.

    An image that cannot be enhanced leaves its reason there instead. Interrupted, the next run goes on. `say` hears of
    each image by its number in this run: names of files are often names of patients. Raises `StepError` where there is
    no inbox or no champion.
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
    """For the length of the block nobody else fills `outbox`; what was half made there is gone.

    Raises `StepError` where somebody does.
    """
    outbox.mkdir(parents=True, exist_ok=True)
    number = os.open(outbox, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StepError(f"{outbox}: expected nobody at work on it, another run is. Wait for it.") from error
        for left in list(outbox.rglob(f"{HALF_MADE}*")):
            shutil.rmtree(left)
        yield
    finally:
        os.close(number)


def places_in(inbox: Path, outbox: Path) -> Iterator[Place]:
    """Every file below `inbox` but hidden ones, and those of an outbox that lies inside."""
    for path in sorted(inbox.rglob("*")):
        parts = path.relative_to(inbox).parts
        if path.is_file() and not any(part.startswith(".") for part in parts) and not path.is_relative_to(outbox):
            yield Place(path, str(path.relative_to(inbox)))


def waiting(places: Iterable[Place], outbox: Path, batch: Batch, quiet_s: float) -> Iterator[Place]:
    """Those of `places` that are to be done now; the others are counted in `batch`."""
    for place in places:
        # its mtime may be that of the place it was copied from; what an archive holds under a UID stays what it is
        came = place.source.stat().st_ctime if isinstance(place.source, Path) else 0.0
        if any(one.is_file() and one.stat().st_mtime >= came for one in _ends(place, outbox)):
            batch.before += 1
        elif time.time() - came < quiet_s:
            batch.arriving += 1
        else:
            yield place


def enhance_one(layout: Layout, place: Place, outbox: Path, generator: Generator) -> str:
    """Why not, where it cannot be: that is left beside its place. What the machine lacks is raised."""
    made, reason = _ends(place, outbox)
    if isinstance(place.source, Path):
        failure = _enhance(layout, place.source, made, generator)
    else:
        failure = _fetch_and_enhance(layout, place.source, made, generator, place.give_back)
    if failure:
        leave(place, outbox, failure)
    else:
        reason.unlink(missing_ok=True)
    return failure


def leave(place: Place, outbox: Path, failure: str) -> None:
    """The reason why there is no image at its place."""
    _, reason = _ends(place, outbox)
    reason.parent.mkdir(parents=True, exist_ok=True)
    reason.write_text(f"{failure}\n", encoding="utf-8", errors="backslashreplace")  # names are bytes, not always UTF-8


def reason_of(place: Place, outbox: Path) -> str:
    """Why there is no image at its place; empty where there is one."""
    _, reason = _ends(place, outbox)
    return reason.read_text(encoding="utf-8").strip() if reason.is_file() else ""


def _ends(place: Place, outbox: Path) -> tuple[Path, Path]:
    """What is there once it is done: the image, or else the reason."""
    return outbox / place.name, outbox / f"{place.name}{REASON}"


def _enhance(layout: Layout, source: Path, made: Path, generator: Generator) -> str:
    """Why not, where it cannot be."""

    def work() -> None:
        record(layout, enhance_file(source, made, generator, overwrite=True), generator.percentiles)

    return _failure(work, source.name)


def _fetch_and_enhance(layout: Layout, source: Remote, made: Path, generator: Generator, give_back: bool) -> str:
    """Why not, where it cannot be. What was fetched does not stay."""
    made.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=made.parent, prefix=HALF_MADE) as folder:
        image, derived = Path(folder) / made.name, Path(folder) / f"derived-{made.name}"

        def work() -> None:
            source.fetch(image)
            enhanced = enhance_file(image, derived, generator)
            if give_back:
                source.give_back(derived)
            derived.replace(made)
            record(layout, enhanced, generator.percentiles)

        return _failure(work, made.name).replace(f"{folder}{os.sep}", "")


def _failure(work: Callable[[], None], name: str) -> str:
    """Why `work` on one image failed. What machine or archive lack is no fault of the image's and is raised."""
    try:
        work()
    except (UnreadableImage, StepError) as error:
        return str(error)
    except OSError:
        raise
    except BROKEN as error:  # one strange image must not keep out those that come after it
        return f"{name}: {type(error).__name__}: {error}"
    return ""
