"""An archive of images through the champion, in one process or many.

An archive is a folder, the files that a DICOMDIR names, or the answer of a DICOMweb archive to a query.

An image is done when it, or the reason of its failure, lies at its place, as for the scheduled inbox. So a run can be
interrupted at any moment, and the same command does images that come later.
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
from flows.enhancement import Batch, Place, claimed, enhance_one, places_in, reason_of, waiting, write_reason

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

DICOMDIR = "DICOMDIR"
MAX_CHUNK = 8  # images a task: one that ends its process holds up no more
SPARE = 4  # tasks a process, so that none is idle at the end
NO_WORKER_S = 180  # until a task that no process can take fails

OnImage = Callable[[str, str], None]  # called with each image's name, and the reason where it failed


@dataclass(frozen=True)
class Query:
    """A query to the DICOMweb archive at `url`: values by DICOM keyword, with wildcards and ranges."""

    url: str
    where: Mapping[str, str]
    give_back: bool  # an enhanced image is stored there too, before it counts as done


def run(
    layout: Layout, source: Path | Query, outbox: Path, on_image: OnImage, workers: int = 1, scheduler: str = ""
) -> Batch:
    """Enhances what is in `source` and not in `outbox` yet, each image at its own place.

    `workers` above 1 are processes of this machine. `scheduler` is the address of a Dask scheduler instead, whose
    workers see the same files at the same paths. Raises `StepError` where there is no champion, `source` is no folder
    and no DICOMDIR, or another process fills `outbox`. Raises `OSError` where the machine or an archive fails.
    """
    with claimed(outbox):
        return _run(layout, source, outbox, on_image, workers, scheduler)


def _run(layout: Layout, source: Path | Query, outbox: Path, on_image: OnImage, workers: int, scheduler: str) -> Batch:
    batch = Batch()

    def add(place: Place, failure: str) -> None:
        batch.add(place.name, failure)
        on_image(place.name, failure)

    if isinstance(source, Query):
        search = dicomweb.find(source.url, source.where)
        batch.others, places = search.skipped, [_place(image, source.give_back) for image in search.images]
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
    size = max(1, min(MAX_CHUNK, len(todo) // (SPARE * workers)))
    chunks = [todo[start : start + size] for start in range(0, len(todo), size)]
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
    import dask

    # its default waits for ever where no process can be started in place of one that ended
    dask.config.set({"distributed.scheduler.no-workers-timeout": f"{NO_WORKER_S} s"})
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})


def _spread(
    layout: Layout,
    outbox: Path,
    version: registry.Version,
    chunks: list[list[Place]],
    runner: TaskRunner[Any],
    add: Callable[[Place, str], None],
) -> None:
    """Runs a Prefect flow with a task for each of `chunks`. Images whose process ended are tried once more, alone.

    A failure of the machine or an archive is raised outside the flow. Its message names a file, files are often named
    for patients, and Prefect keeps the messages of its runs.
    """
    from distributed.scheduler import KilledWorker, NoWorkerError
    from prefect import flow, task

    enhance = task(name="enhance", persist_result=False)(_enhance_chunk)

    outages: list[OSError] = []

    def submit(places: list[Place]) -> Any:
        return enhance.submit(layout, outbox, version, places)

    def failures(future: Any) -> list[str]:
        try:
            reasons: list[str] | OSError = future.result()
        except NoWorkerError as error:
            raise StepError(
                f"expected a process to enhance images within {NO_WORKER_S} s, none could be started. What is done "
                "stays; run it again, with fewer --workers where the machine lacks memory."
            ) from error
        if isinstance(reasons, OSError):
            outages.append(reasons)
            raise RuntimeError("the machine or the archive failed; whoever began this run was told how")
        return reasons

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
                write_reason(place, outbox, failure)
            add(place, failure)

    state: Any = archive(return_state=True)
    if outages:
        raise outages[0]
    state.result()


def _enhance_chunk(layout: Layout, outbox: Path, version: registry.Version, places: list[Place]) -> list[str] | OSError:
    """The reason for each image, empty where it was enhanced, or the failure of the machine or an archive.

    Dask repeats a task that was lost with its process. Images that are done by then are not done twice.
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
