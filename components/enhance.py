"""Sharpens one image file: DICOM becomes a derived DICOM image, a PNG or TIFF another one. Depth stays what it was.

    stored values → [0, 1] → network, tile by tile → stored values → derived image

Frames are read, sharpened and put on disk one after another, so that a long film needs the memory of one frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset

from components.dicom.palette import colours
from components.dicom.provenance import MAKER, RESEARCH_USE
from components.dicom.read import LONG, open_dicom, padding_mask, stored_frames
from components.dicom.write import derive, obstacles, save
from components.handover import StepError
from components.imaging.decoding import BROKEN, UnreadableImage, faults_of, library, machine_lacks, one_line
from components.imaging.picture_files import PICTURES, read_picture, write_picture
from components.learning.inference.generator import Generator
from components.learning.inference.sharpening import Values, sharpen_colour, sharpen_grey
from components.learning.inference.tiling import TILE

__all__ = ["HALF_MADE", "PICTURES", "EnhancedImage", "enhance_file"]
HALF_MADE = ".enhance-"  # how the folders begin that stay beside a destination when the process is killed

Stored = NDArray[Any]  # whole numbers as the file holds them


@dataclass(frozen=True)
class EnhancedImage:
    """What was made, from what, by what."""

    source: Path
    destination: Path
    model_name: str
    model_version: str
    scale: int
    frames: int
    rows: int
    columns: int
    sop_instance_uid: str  # empty for a picture
    seconds: float


def enhance_file(
    source: Path,
    destination: Path,
    generator: Generator,
    tile: int = TILE,
    overwrite: bool = False,
    on_frame: Callable[[int, int], None] | None = None,
) -> EnhancedImage:
    """Writes `source` with `generator.scale` times as many rows and columns, whole or not at all.

    `tile` counts pixels of the source; smaller needs less memory. From 128 on the image is the same for any tile: to
    1e-5 of its range in float32, to 1e-2 (5e-4 in root mean square) where the processor computes in bfloat16.
    `on_frame` hears how many frames are done, of how many. Raises `UnreadableImage` where the source cannot be decoded,
    `StepError` where no honest result can be written or the destination is taken.
    """
    _check_places(source, destination, overwrite)
    destination.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    enhance = _enhance_picture if source.suffix.lower() in PICTURES else _enhance_dicom
    with TemporaryDirectory(dir=destination.parent, prefix=HALF_MADE) as folder:
        made = Path(folder) / destination.name
        try:
            (frames, rows, columns), instance = enhance(source, made, generator, tile, on_frame or (lambda *_: None))
        except FloatingPointError as error:
            by = f"{generator.name}, version {generator.version}"
            raise StepError(
                f"{source}: expected numbers from the network {by}, found {error}. Take another version."
            ) from error
        made.replace(destination)
    return EnhancedImage(
        source=source,
        destination=destination,
        model_name=generator.name,
        model_version=generator.version,
        scale=generator.scale,
        frames=frames,
        rows=rows,
        columns=columns,
        sop_instance_uid=instance,
        seconds=time.monotonic() - begun,
    )


def _check_places(source: Path, destination: Path, overwrite: bool) -> None:
    if not source.is_file():
        raise StepError(f"{source}: expected an image file, found none. Give the path of a DICOM, PNG or TIFF file.")
    if destination.exists() and destination.samefile(source):
        raise StepError(
            f"{destination}: expected a place other than the source's, which is never replaced. Name another."
        )
    if destination.exists() and not (overwrite and destination.is_file()):
        raise StepError(f"{destination}: expected no file there yet, found one. Name another, or allow overwriting.")
    if PICTURES.get(source.suffix.lower()) != PICTURES.get(destination.suffix.lower()):
        raise StepError(f"{destination}: expected the same kind of file as {source.name}. Name it *{source.suffix}.")


def _enhance_dicom(
    source: Path, destination: Path, generator: Generator, tile: int, on_frame: Callable[[int, int], None]
) -> tuple[tuple[int, int, int], str]:
    image = open_dicom(source)
    found = obstacles(image, generator.scale)
    if found:
        raise StepError(f"{source}: {'; '.join(found)}. Choose another image.")
    made_by = _made_by(image, source.name)
    if made_by:
        raise StepError(
            f"{source}: expected an image that is not sharpened yet, found one of {made_by}. Take its source."
        )
    pixels = destination.with_name(f".{destination.name}.pixels")
    stored = _sharpen_frames(image, source, pixels, generator, tile, on_frame)
    try:
        derived = derive(image, stored, generator.scale, generator.name, generator.version)
        save(derived, destination)
        dcmread(destination, defer_size=LONG)  # a broken sequence is copied, and only reading it tells
    except BROKEN as error:  # every attribute of the file is read and written here, whatever it is
        if lacking := machine_lacks(error):
            raise lacking from error
        raise UnreadableImage(source.name, f"its header cannot be carried over: {one_line(error)}") from error
    return (int(image.get("NumberOfFrames") or 1), derived.Rows, derived.Columns), str(derived.SOPInstanceUID)


def _made_by(image: Dataset, name: str) -> str:
    """What of ours made it, or nothing: a PACS that sends on all it stores would have it made ever larger."""
    with faults_of(name), library("Contributing Equipment Sequence (0018,A001) cannot be read"):
        ours = [item for item in image.get("ContributingEquipmentSequence") or () if item.get("Manufacturer") == MAKER]
        return f"{ours[-1].get('ManufacturerModelName')} {ours[-1].get('SoftwareVersions')}" if ours else ""


def _sharpen_frames(
    image: Dataset, source: Path, place: Path, generator: Generator, tile: int, on_frame: Callable[[int, int], None]
) -> Stored:
    """All frames, as ([frames,] rows, columns[, 3]), in the file `place`, where they are written band by band."""
    expected = int(image.get("NumberOfFrames") or 1)
    dtype, done, rows = np.dtype(np.uint8), 0, 0
    beside: tuple[int, ...] = ()
    with place.open("wb") as handle:
        for done, frame in enumerate(_decoded(image, source.name), start=1):
            rows = len(frame) * generator.scale
            for band in _sharpen_frame(frame, image, generator, tile):
                dtype, beside = band.dtype, band.shape[1:]
                handle.write(np.ascontiguousarray(band).data)
            on_frame(done, expected)
    if done != expected:
        raise UnreadableImage(source.name, f"truncated: the header says {expected} frames, {done} are there")
    shape = (rows, *beside) if expected == 1 else (expected, rows, *beside)
    return np.memmap(place, dtype, mode="r", shape=shape)


def _decoded(image: Dataset, name: str) -> Iterator[Stored]:
    """Stored frames one by one; colour, palettes too, as RGB."""
    with faults_of(name):
        for frame in stored_frames(image):
            shown = colours(frame, image) if image.PhotometricInterpretation == "PALETTE COLOR" else frame
            yield shown.astype(shown.dtype.newbyteorder("<"), copy=False)


def _sharpen_frame(frame: Stored, image: Dataset, generator: Generator, tile: int) -> Iterator[Stored]:
    """Bands of stored values."""
    if image.PhotometricInterpretation == "PALETTE COLOR":
        frame = (frame >> 8 * (frame.dtype.itemsize - 1)).astype(np.uint8)  # a screen shows its palette in 8 bits
        return _as_stored(sharpen_colour(frame, generator, tile), (0, 255), frame.dtype)
    limits = _limits(int(image.BitsStored), signed=frame.dtype.kind == "i")
    if frame.ndim == 3:
        return _as_stored(sharpen_colour(frame, generator, tile), limits, frame.dtype)
    mirrored, padding = image.PhotometricInterpretation == "MONOCHROME1", padding_mask(frame, image)
    if not padding.any():
        return _as_stored(sharpen_grey(frame, generator, tile, mirrored), limits, frame.dtype)
    sharp = _as_stored(sharpen_grey(frame, generator, tile, mirrored, padding), limits, frame.dtype)
    return _keep_padding(sharp, frame, padding, image, generator.scale)


def _limits(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def _as_stored(bands: Iterator[Values], limits: tuple[int, int], dtype: np.dtype[Any]) -> Iterator[Stored]:
    """Rounded to what the stored bits can hold. Raises `FloatingPointError` for what is no number: it has no bits."""
    for values in bands:
        if not np.isfinite(values).all():
            raise FloatingPointError("values that are none")
        np.rint(values, out=values)
        yield np.clip(values, *limits, out=values).astype(dtype)


def _keep_padding(
    bands: Iterator[Stored], frame: Stored, padding: NDArray[np.bool_], image: Dataset, scale: int
) -> Iterator[Stored]:
    """Padding stays padding; an image pixel that took a padding value by chance takes the nearest real one."""
    real = frame[~padding].astype(np.int64)
    nearest = real[np.abs(real - int(frame[padding][0])).argmin()] if len(real) else None
    first = 0
    for sharp in bands:
        rows = slice(first, first + len(sharp) // scale)
        fine, kept = (part[rows].repeat(scale, 0).repeat(scale, 1) for part in (padding, frame))
        if nearest is not None:
            sharp = np.where(padding_mask(sharp, image), nearest, sharp)
        yield np.where(fine, kept, sharp).astype(frame.dtype)
        first = rows.stop


def _enhance_picture(
    source: Path, destination: Path, generator: Generator, tile: int, on_frame: Callable[[int, int], None]
) -> tuple[tuple[int, int, int], str]:
    picture = read_picture(source)
    stored = picture.values
    sharpen = sharpen_colour if stored.ndim == 3 else sharpen_grey
    limits = _limits(stored.dtype.itemsize * 8, signed=False)
    bands = _as_stored(sharpen(stored, generator, tile), limits, stored.dtype)
    made_by = f"Enlarged x{generator.scale} by {generator.name}, version {generator.version}. {RESEARCH_USE}"
    rows, columns = write_picture(destination, picture, generator.scale, bands, made_by)
    on_frame(1, 1)
    return (1, rows, columns), ""
