"""The command line: `medsr …`. Libraries that take long to import are imported by the commands that use them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components import collect_seldom
from components.handover import Layout, StepError
from components.params import PROFILES, ParamsError
from flows.cli_enhance import enhance
from flows.cli_models import AS_JSON, models
from flows.cli_natural import FOLDER, score, train
from flows.cli_serve import serve, token
from flows.cli_up import deploy, down, status, up

if TYPE_CHECKING:
    from flows.doctor import Check


class _Readable(click.Group):
    """Commands whose expected errors come as one message and exit code 1, and as a traceback with --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (StepError, ParamsError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=_Readable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="medsr")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def main(debug: bool) -> None:
    """Super-resolution and classification of medical images. Research software, not a medical device."""
    collect_seldom()


@main.command()
@click.option("--profile", type=click.Choice(PROFILES), help="Write this profile into params.yaml first.")
@click.option("-f", "--force", is_flag=True, help="Run every stage, also where nothing changed.")
@click.option("-v", "--verbose", is_flag=True, help="Show Prefect's own messages.")
@click.pass_context
def run(ctx: click.Context, profile: str | None, force: bool, verbose: bool) -> None:
    """Bring everything up to date: images, models, report, registry."""
    from flows.pipeline import run_pipeline

    ctx.exit(run_pipeline(Path(), profile, verbose, force=force))


@main.command()
@AS_JSON
def plan(as_json: bool) -> None:
    """Say what `medsr run` would do, and why."""
    from flows import planning

    planned = planning.planned(Path())
    click.echo(json.dumps(planned.stages, indent=2) if as_json else "\n".join(planned.lines()))


@main.command()
@click.argument("name", metavar="IMAGE_ID")
@AS_JSON
def where(name: str, as_json: bool) -> None:
    """Say which file the image IMAGE_ID, or the file that tables name by a key, came from.

    Only this command shows names of files, from data/.files.sqlite, which never leaves the machine that ingested them.
    """
    from components.sources.file_register import FileRegister

    layout = Layout()
    origins = FileRegister(layout.files).find(name)
    if not origins:
        raise StepError(
            f"{layout.files}: expected a file whose key or image_id is {name}, found none. The register lies where the "
            "images were ingested."
        )
    if as_json:
        click.echo(json.dumps([asdict(origin) for origin in origins], indent=2))
        return
    for origin in origins:
        click.echo(f"{origin.source}: {origin.path or origin.name}")


@main.command()
@AS_JSON
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what is missing here, and how to get it."""
    from flows import doctor as examination

    checks = examination.examine(Path())
    if as_json:
        click.echo(json.dumps([check.as_dict() for check in checks], indent=2))
    else:
        for check in checks:
            _show(check)
    ctx.exit(int(any(check.required and not check.ok for check in checks)))


def _show(check: Check) -> None:
    word, colour = ("ok", "green") if check.ok else ("missing", "red") if check.required else ("without", "yellow")
    click.echo(f"{click.style(f'{word:<8}', fg=colour)}{check.name}: {check.found}")
    if not check.ok:
        click.echo(f"{'':<8}→ {check.remedy}")


@main.command()
@click.option("--port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--browser/--no-browser", default=True, help="Open the page.", show_default=True)
@click.pass_context
def ui(ctx: click.Context, port: int, browser: bool) -> None:
    """Show MLflow's pages: runs, curves, pictures, models."""
    from flows import mlflow_pages

    ctx.exit(mlflow_pages.show(Layout(), port, browser))


@main.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", type=FOLDER, help="A folder of weights, instead of the champion.")
@click.option("--gradcam", type=click.Path(path_type=Path, dir_okay=False), help="PNG that shows where it looked.")
@AS_JSON
def classify(source: Path, model: Path | None, gradcam: Path | None, as_json: bool) -> None:
    """Classify the image IN with the champion: the probability of the finding, and the decision."""
    from components.classify import classify_file
    from components.imaging.decoding import UnreadableImage

    if model is None:
        from components.adapters.registry import load_classifier

        classifier, version = load_classifier(Layout())
        name = f"{version.name} {version.number}"
    else:
        from components.classical.any_classifier import load_any_classifier

        classifier, name = load_any_classifier(model), str(model)
    try:
        reading = classify_file(source, classifier, name, gradcam)
    except UnreadableImage as error:
        raise StepError(f"{error} Nothing was read.") from error
    if as_json:
        click.echo(json.dumps(asdict(reading), default=str, indent=2))
        return
    click.echo(
        f"{reading.source}: {reading.label}. Probability of {reading.positive} {reading.probability:.3f}, threshold "
        f"{reading.threshold:.3f}, by {reading.model}. Research software, not a diagnosis."
    )


@main.command()
@click.option("--model", help="sr-generator@champion, sr-generator/3, a folder of weights, or a folder of images.")
@click.option("--name", default="", help="What the method is called in the table; the folder's name if not given.")
@click.option(
    "--data", type=FOLDER, help="Score on this folder of DICOM, or of prepared images, instead of the project's."
)
@click.option("--keep", is_flag=True, help="Keep the images of another program: `medsr run` shows them from then on.")
@click.option("--write-inputs", type=click.Path(path_type=Path, file_okay=False), help="Write the inputs there as PNG.")
@AS_JSON
def evaluate(
    model: str | None, name: str, data: Path | None, keep: bool, write_inputs: Path | None, as_json: bool
) -> None:
    """Score one more method on the held-out images, in one table with the project's own.

    For another program: write the inputs with --write-inputs, sharpen them with it under the same names, and give the
    folder of its images as --model.
    """
    from contextlib import ExitStack

    from components import evaluate_model, params
    from flows import held_out

    layout, settings = Layout(), params.load_here()
    if model is None and write_inputs is None:
        raise click.UsageError("nothing to evaluate: give --model, or --write-inputs")
    if keep and (data is not None or not evaluate_model.is_images(model or "")):
        raise click.UsageError("--keep is for a folder of images of the project's held-out inputs")
    with ExitStack() as open_for_this:
        if data is not None and not held_out.is_prepared(data):
            data, left_out = open_for_this.enter_context(held_out.from_dicom(layout, settings, data))
            for line in left_out:
                click.echo(f"left out: {line}", err=True)
        if write_inputs is not None:
            count = evaluate_model.export_inputs(layout, settings, write_inputs, data)
            click.echo(f"{write_inputs}: {count} images, grey in 16 bits", err=as_json)
        if model is None:
            return
        table = evaluate_model.run(layout, settings, model, name, data)
    if as_json:
        click.echo(json.dumps(table.as_dicts(), indent=2))
    else:
        click.echo("\n".join(table.lines()))
    if keep:
        kept_folder = evaluate_model.keep(layout, table.name, Path(model))
        click.echo(f"{kept_folder}: kept; `medsr run` takes it into the report", err=as_json)


for command in (enhance, models, serve, token, train, score, up, down, status, deploy):
    main.add_command(command)


if __name__ == "__main__":
    sys.exit(main())
