"""`medsr train` and `medsr score`: a network checked against its paper, on natural pictures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.handover import GENERATORS, Layout
from components.handover.names import PARAMS
from components.params import PROFILES
from flows.cli_models import AS_JSON

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command()
@click.argument("name", type=click.Choice(GENERATORS))
@click.option("--images", type=FOLDER, help="PNG or JPEG pictures to train on.")
@click.option("--validation", type=FOLDER, help="Other pictures, to validate on.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="Where data/models/NAME is written.")
@click.option("--profile", type=click.Choice(PROFILES), help="Whose recipe; that of params.yaml if not given.")
@click.option("--steps", type=click.IntRange(min=1), help="Train so many, instead of the recipe's.")
def train(
    name: str, images: Path | None, validation: Path | None, into: Path | None, profile: str | None, steps: int | None
) -> None:
    """Train the generator NAME on natural pictures, to check it against its paper.

    SRGAN and ESRGAN start from srresnet and rrdb: train that into the same folder first.
    """
    if images is None or validation is None or into is None:
        raise click.UsageError(
            "training on pictures needs --images, --validation and --into; on medical images `medsr run` trains"
        )
    from components.natural_images.training import make_ready
    from components.train import run as run_training

    layout = Layout(into)
    settings = make_ready(layout, Path(PARAMS), name, images, validation, profile, steps)
    record = run_training(layout, settings, name, tracked=False)
    if record:
        click.echo(f"{layout.model(name)}: {record.seconds:.0f} s, weights {record.weights_sha256[:12]}")


def _model(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    if value != "bicubic" and not Path(value).is_dir():
        raise click.BadParameter(f"expected bicubic, or a folder of weights such as data/models/rrdb, found {value}")
    return value


@click.command()
@click.argument("model", callback=_model)
@click.option("--images", type=FOLDER, required=True, help="PNG or JPEG pictures, such as Set5.")
@click.option("--low", type=FOLDER, help="Their low-resolution twins, by name; else NAME_LR beside NAME_HR, else made.")
@click.option("--scale", type=click.Choice(["2", "3", "4", "8"]), default="4", show_default=True)
@AS_JSON
def score(model: str, images: Path, low: Path | None, scale: str, as_json: bool) -> None:
    """Score MODEL, `bicubic` or a folder of weights, on natural pictures by the published protocol.

    Luma in 8 bits, SCALE border pixels left out, means over pictures: not to be compared with the medical report.
    """
    from components.natural_images.scoring import score as score_pictures

    table = score_pictures(images, low, int(scale), model)
    click.echo(json.dumps(table.as_dict(), indent=2) if as_json else "\n".join(table.lines()))
