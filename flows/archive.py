"""An archive of images through the champion, on as many processes as there are.

It is a folder, what a DICOMDIR names, or what a DICOMweb archive answers to a query.

One notion of what is done, with the scheduled inbox: the image at its place, or the reason beside it. So an archive can
be interrupted at any moment, and what comes later is done by the same command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from components.adapters import dicomweb, registry
from components.handover import Layout, StepError
from components.imaging.decoding import BROKEN
from components.learning.inference.generator import Generator
from flows import prefect_server
from flows.enhancement import Batch, Place, claimed, enhance_one, leave, places_in, reason_of, waiting

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

DICOMDIR = "DICOMDIR"
SOME = 8  # images a task: one that ends its process holds up no more
SPARE = 4  # tasks a process, so that none is idle at the end

Told = Callable[[str, str], None]  # hears of each image, and why it could not be, or nothing


@dataclass(frozen=True)
class Query:
    """What a DICOMweb archive at `url` is asked for: values by DICOM keyword, with wildcards and ranges."""

    url: str
    where: Mapping[str, str]
    give_back: bool  # what is made is stored there too, before it counts as done


def run(layout: Layout, source: Path | Query, outbox: Path, told: Told, workers: int = 1, scheduler: str = "") -> Batch:
    """Enhances what is in `source` and not in `outbox` yet, each image at its own place.

    With `workers` above 1 on so many processes of this machine, with `scheduler` (an address) on the workers of that
    Dask scheduler, which see the same files at the same paths. Raises `StepError` where there is no champion, `source`
    is no folder and no DICOMDIR, or somebody else fills `outbox`; `OSError` where the machine or an archive fails.
    """
    with claimed(outbox):
        return _run(layout, source, outbox, told, workers, scheduler)


def _run(layout: Layout, source: Path | Query, outbox: Path, told: Told, workers: int, scheduler: str) -> Batch:
    batch = Batch()

    def add(place: Place, failure: str) -> None:
        batch.add(place.name, failure)
        told(place.name, failure)

    if isinstance(source, Query):
        found = dicomweb.find(source.url, source.where)
        batch.others, places = found.others, [_place(image, source.give_back) for image in found.images]
    else:
        places = list(_places(source, outbox, add))
    todo = list(waiting(places, outbox, batch, quiet_s=0))
    version = registry.by_alias(layout, registry.GENERATOR, registry.CHAMPION)
    if not todo or version is None:
        if todo:
            registry.load_generator(layout)  # says what is missing
        return batch
    if workers == 1 and not scheduler:
        generator = registry.generator_of(layout, version)
        for place in todo:
            add(place, enhance_one(layout, place, outbox, generator))
        return batch
    size = max(1, min(SOME, len(todo) // (SPARE * workers)))
    chunks = [todo[first : first + size] for first in range(0, len(todo), size)]
    _spread(Layout(layout.root.resolve()), outbox.resolve(), version, chunks, _runner(workers, scheduler), add)
    return batch


def _place(image: dicomweb.Remote, give_back: bool) -> Place:
    return Place(image, f"{image.study}/{image.series}/{image.instance}.dcm", give_back)


def _places(source: Path, outbox: Path, add: Callable[[Place, str], None]) -> Iterator[Place]:
    if source.is_dir():
        yield from places_in(source, outbox)
        return
    if source.name.upper() != DICOMDIR:
        raise StepError(f"{source}: expected a folder or a DICOMDIR. Give an image and a file to write it to.")
    for name in _named(source):
        path = source.parent / name
        place = Place(path.resolve(), name)
        if not _inside(path, source.parent):
            add(place, "leads out of the folder of its DICOMDIR")
        elif not path.is_file():
            add(place, "is named in the DICOMDIR, and no file is there")
        else:
            yield place


def _named(path: Path) -> list[str]:
    """The files of a DICOMDIR's image records (PS3.3 F.3.2.2), each once."""
    try:
        records = dcmread(path).DirectoryRecordSequence
        files = [record.ReferencedFileID for record in records if record.get("DirectoryRecordType") == "IMAGE"]
        return list(dict.fromkeys("/".join([parts] if isinstance(parts, str) else parts) for parts in files))
    except (InvalidDicomError, *BROKEN) as error:
        raise StepError(f"{path}: expected a DICOMDIR, found none that can be read: {error}") from error


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _runner(workers: int, scheduler: str) -> TaskRunner[Any]:
    prefect_server.configure()
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise StepError("several processes want Dask: `pip install prefect-dask`, or `make setup` again.") from error
    prefect_server.start()
    if scheduler:
        return DaskTaskRunner(address=scheduler)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})


def _spread(
    layout: Layout,
    outbox: Path,
    version: registry.Version,
    chunks: list[list[Place]],
    runner: TaskRunner[Any],
    add: Callable[[Place, str], None],
) -> None:
    """A Prefect flow of a task for each of `chunks`; those of a task whose process ended are tried once more, alone.

    What the machine or an archive lacked is raised outside the flow: it names a file, files are often named for
    patients, and Prefect keeps what its runs say.
    """
    from distributed.scheduler import KilledWorker
    from prefect import flow, task

    some = task(name="enhance", persist_result=False)(_enhance_some)

    lacking: list[OSError] = []

    def submit(places: list[Place]) -> Any:
        return some.submit(layout, outbox, version, places)

    def failures(future: Any) -> list[str]:
        found: list[str] | OSError = future.result()
        if isinstance(found, OSError):
            lacking.append(found)
            raise RuntimeError("the machine or the archive failed; whoever began this run was told how")
        return found

    @flow(name="archive", task_runner=runner, persist_result=False)
    def archive() -> None:
        suspects: list[Place] = []
        for places, future in [(places, submit(places)) for places in chunks]:
            try:
                for place, failure in zip(places, failures(future), strict=True):
                    add(place, failure)
            except KilledWorker:
                suspects += places
        for place in suspects:  # one after another: whoever ends a process now is the one
            try:
                (failure,) = failures(submit([place]))
            except KilledWorker:
                failure = "its process ended at work on it, more than once"
                leave(place, outbox, failure)
            add(place, failure)

    state: Any = archive(return_state=True)
    if lacking:
        raise lacking[0]
    state.result()


def _enhance_some(layout: Layout, outbox: Path, version: registry.Version, places: list[Place]) -> list[str] | OSError:
    """Why not, of each, or what the machine or an archive lacked.

    Dask does again what was lost with a process: what is done by then is not done twice.
    """
    try:
        generator = _generator(layout, version)
        for place in waiting(places, outbox, Batch(), quiet_s=0):
            enhance_one(layout, place, outbox, generator)
    except OSError as error:
        return error
    return [reason_of(place, outbox) for place in places]


@lru_cache(maxsize=1)
def _generator(layout: Layout, version: registry.Version) -> Generator:
    """Loaded once a process."""
    return registry.generator_of(layout, version)
