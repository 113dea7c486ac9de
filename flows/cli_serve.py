"""The commands about the service: run it, and let somebody use it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from components.handover import Layout, StepError
from flows.cli_models import AS_JSON


@click.command()
@click.option(
    "--settings",
    default="infra/serve.yaml",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Who may send, and where sharpened images go.",
)
@AS_JSON
def serve(settings: Path, as_json: bool) -> None:
    """Sharpen what comes by DICOM or HTTP with the champion, until Ctrl-C."""
    from flows import serving

    serving.serve(Layout(), settings, as_json)


@click.command()
@click.argument("name")
@AS_JSON
def token(name: str, as_json: bool) -> None:
    """Make a token with which NAME may use the service over HTTP. It is shown this once and kept nowhere."""
    from components.serving.access import new_token

    secret, digest = new_token(name)
    problems = list(digest.problems())
    if problems:
        raise StepError("; ".join(problems))
    if as_json:
        click.echo(json.dumps({"token": secret, "name": digest.name, "sha256": digest.sha256}))
        return
    click.echo(f"Token, for {name} alone: {secret}")
    click.echo(f"Line for http.tokens in infra/serve.yaml: - {{name: {name}, sha256: {digest.sha256}}}")
