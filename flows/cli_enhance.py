"""`medsr enhance`: one image, or an archive of them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from components.handover import Layout, StepError
from flows.cli_models import AS_JSON

if TYPE_CHECKING:
    from flows.archive import Query


@click.command()
@click.argument("source", metavar="IN")
@click.argument("destination", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace the file OUT where it is there already.")
@click.option(
    "--where", multiple=True, metavar="KEY=VALUE", help="What to search for, by DICOM keyword; each has to match."
)
@click.option("--store", is_flag=True, help="Store what is made in the archive that was searched, too.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes for an archive.")
@click.option("--dask", "scheduler", default="", help="Address of a Dask scheduler whose workers see the same files.")
@AS_JSON
@click.pass_context
def enhance(
    ctx: click.Context,
    source: str,
    destination: Path,
    overwrite: bool,
    where: tuple[str, ...],
    store: bool,
    workers: int,
    scheduler: str,
    as_json: bool,
) -> None:
    """Sharpen the image IN with the champion and write it to OUT.

    A folder, or a DICOMDIR: every image in it, to the same place below the folder OUT. The address of a DICOMweb
    archive, with --where PatientID=0815 --where StudyDate=20260101-20260131: every image that matches, to
    STUDY/SERIES/INSTANCE.dcm below OUT. What is there already is not done again, so an archive can be interrupted and
    continued by the same command.
    """
    is_url = source.startswith(("http://", "https://"))
    if (where or store) and not is_url:
        raise click.UsageError("--where and --store are for the address of a DICOMweb archive")
    if not is_url and not Path(source).exists():
        raise click.UsageError(f"{source}: expected an image, a folder or the address of an archive, found nothing")
    archive = is_url or Path(source).is_dir() or Path(source).name.upper() == "DICOMDIR"
    if archive and overwrite:
        raise click.UsageError("--overwrite is for one image; remove what is to be done again")
    if archive:
        ctx.exit(
            _archive(_query(source, where, store) if is_url else Path(source), destination, workers, scheduler, as_json)
        )
    if workers > 1 or scheduler:
        raise click.UsageError("--workers and --dask are for an archive")
    _image(Path(source), destination, overwrite, as_json)


def _query(url: str, where: tuple[str, ...], store: bool) -> Query:
    from flows.archive import Query

    pairs = dict(pair.split("=", 1) for pair in where if "=" in pair)
    if len(pairs) != len(where):
        raise click.UsageError("--where: expected KEY=VALUE, each key once")
    return Query(url, pairs, store)


def _image(source: Path, destination: Path, overwrite: bool, as_json: bool) -> None:
    from components.adapters.registry import load_generator
    from components.enhance import enhance_file
    from components.imaging.decoding import UnreadableImage
    from components.serving.record import record

    generator = load_generator(Layout())
    try:
        image = enhance_file(source, destination, generator, overwrite=overwrite)
    except UnreadableImage as error:
        raise StepError(f"{error} Nothing was written.") from error
    record(Layout(), image, generator.percentiles)
    if as_json:
        click.echo(json.dumps(asdict(image), default=str, indent=2))
        return
    size = f"{image.frames} × {image.rows} × {image.columns}, ×{image.scale}"
    model = f"{image.model_name} {image.model_version}"
    click.echo(f"{image.destination}: {size} by {model}, {image.seconds:.1f} s")


def _archive(source: Path | Query, outbox: Path, workers: int, scheduler: str, as_json: bool) -> int:
    """The exit code."""
    from components.adapters import tracking
    from flows import archive

    def show(name: str, failure: str) -> None:
        if failure or not as_json:
            click.echo(click.format_filename(f"{name}: {failure or 'enhanced'}"), err=bool(failure))

    tracking.initialise(Layout())
    try:
        batch = archive.run(Layout(), source, outbox, show, workers, scheduler)
    except (OSError, MemoryError) as error:
        raise StepError(f"{error or type(error).__name__}. What is done stays; the same command goes on.") from error
    except KeyboardInterrupt:
        click.echo("interrupted; the same command goes on", err=True)
        sys.exit(1)
    click.echo(json.dumps(asdict(batch), indent=2) if as_json else f"{outbox}: {batch.summary()}")
    return int(bool(batch.failed))
