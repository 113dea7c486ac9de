"""What ingest took from each file at the last run, so that only new and changed files are decoded again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from components.dicom.duplicates import Stored
from components.dicom.text_search import reader_versions
from components.handover import IndexRow, Layout, StepError, fingerprint, read_rows, sha256_of
from components.sources.file_register import FileRegister
from components.sources.intake import Intake, Taken, take
from components.sources.items import Item, Picture, Unreadable

COMPONENTS = Path(__file__).parents[1]
CODE = ("ingest.py", "handover/rows.py", "dicom", "imaging", "simulation", "sources")  # decides what is taken
LIBRARIES = ("pydicom", "numpy", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pillow", "nibabel",
             "dicom-anonymizer")  # fmt: skip


@dataclass(frozen=True)
class Memory:
    """What was taken of a file whose contents, and whatever else decided, had the digest `mark`."""

    mark: str
    row: IndexRow
    image: Stored | None
    file: tuple[int, int, str] | None  # of the stored image: size in bytes, time of change in ns, SHA-256

    @classmethod
    def of(cls, mark: str, taken: Taken) -> Memory:
        if taken.image is None:
            return cls(mark, taken.row, None, None)
        status = taken.image.path.stat()
        return cls(mark, taken.row, taken.image, (status.st_size, status.st_mtime_ns, sha256_of(taken.image.path)))

    def is_file(self, path: Path) -> bool:
        """Whether `path` is the stored image as it was written."""
        if self.file is None:
            return False
        status, (size, mtime_ns, sha256) = path.stat(), self.file
        return status.st_size == size and (status.st_mtime_ns == mtime_ns or sha256_of(path) == sha256)

    def as_json(self) -> str:
        image = None if self.image is None else asdict(self.image) | {"path": self.image.path.name}
        return json.dumps([asdict(self.row), image, self.file])

    @classmethod
    def from_json(cls, mark: str, text: str) -> Memory:
        row, image, file = json.loads(text)
        return cls(
            mark, IndexRow(**row), None if image is None else _stored(image), None if file is None else tuple(file)
        )


@dataclass
class Takings:
    """Takes the items of one source for one task, or remembers what the last run took."""

    source: str
    task: str
    intake: Intake
    last_run: LastRun
    before: dict[str, tuple[str, str]]  # mark and memory of it as JSON, by name below the source
    now: dict[str, Memory] = field(default_factory=dict)

    @classmethod
    def open(cls, source: str, task: str, intake: Intake, last_run: LastRun, register: FileRegister) -> Takings:
        """What `register` remembers of the last run, ready to be compared."""
        return cls(source, task, intake, last_run, register.remembered(source, task))

    def remember(self, register: FileRegister) -> None:
        """Leaves what was taken now for the next run."""
        register.remember(
            self.source, self.task, {name: (memory.mark, memory.as_json()) for name, memory in self.now.items()}
        )

    def take(self, item: Item, name: str, sha256: str) -> Taken:
        """`item`, whose file is `name` below its source and has the digest `sha256`; without one it is taken anew."""
        mark = _mark(item, sha256, self.intake) if sha256 and not isinstance(item, Unreadable) else ""
        mark_before, content = self.before.get(name, ("", ""))
        if mark and mark == mark_before:  # only then is it of this version of the program
            self.now[name] = Memory.from_json(mark, content)
            return self._again(item, self.now[name])
        taken = take(item, self.source, self.task, self.intake)
        if mark:
            self.now[name] = Memory.of(mark, taken)
        return taken

    def _again(self, item: Item, memory: Memory) -> Taken:
        row = replace(memory.row, label=item.label if self.task == "classification" else "")
        if memory.image is None:
            return Taken(row, None)
        kept = self.last_run.kept.get((self.source, self.task, row.file_name))
        path = self.intake.next_file(memory.image.path.suffix)
        if kept is not None and memory.is_file(kept):
            _link(kept, path)
            return Taken(row, replace(memory.image, path=path))
        # another image stood for it at the last run: its file is written again if somebody asks for it

        def write() -> None:
            written = take(item, self.source, self.task, self.intake)
            if written.image is None or written.image.sha256 != row.sha256:
                raise StepError(f"source {self.source}: {item.name} changed while ingest ran. Run it again.")
            written.image.path.replace(path)

        self.last_run.absent[path] = write
        return Taken(row, replace(memory.image, path=path))


@dataclass
class LastRun:
    """The images that the last run kept, and what stands in no file of it."""

    kept: dict[tuple[str, str, str], Path]  # by source, task and file name
    absent: dict[Path, Callable[[], None]] = field(default_factory=dict)  # what writes the file, by its place

    @classmethod
    def of(cls, layout: Layout) -> LastRun:
        rows = index_of_last_run(layout)
        files = {(row.source, row.task, row.file_name): layout.raw / row.path for row in rows if row.path}
        return cls({key: path for key, path in files.items() if path.is_file()})

    def written(self, path: Path) -> Path:
        """`path`, whose file is there now."""
        write = self.absent.pop(path, None)
        if write is not None:
            write()
        return path


def index_of_last_run(layout: Layout) -> list[IndexRow]:
    """The rows of `data/raw`; none where there is no index, or one of another version of this program."""
    try:
        return read_rows(layout.index, IndexRow)
    except StepError:
        return []


@cache
def rules() -> str:
    """One digest of the code and the libraries that decide what is taken of a file."""
    places = [COMPONENTS / name for name in CODE]
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    code = [(file.relative_to(COMPONENTS).as_posix(), sha256_of(file)) for file in files]
    return fingerprint(code, [(name, version(name)) for name in LIBRARIES])


def _mark(item: Item, sha256: str, intake: Intake) -> str:
    said = (item.patient, item.modality) if isinstance(item, Picture) else ()
    boxes = [asdict(box) for box in intake.reviewed.get(sha256, ())]
    reader = reader_versions() if intake.find_text else ()
    return fingerprint(sha256, rules(), item.name, said, boxes, reader, intake.pseudonyms.patient(""))


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _stored(image: dict[str, Any]) -> Stored:
    lists = {key: tuple(value) for key, value in image.items() if isinstance(value, list)}
    return Stored(**{**image, **lists, "path": Path(image["path"])})
