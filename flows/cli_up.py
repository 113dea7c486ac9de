"""The commands about what runs by schedule: start it, end it, look at it, register it elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli_models import AS_JSON, columns

if TYPE_CHECKING:
    from flows.status import Status

NOTIFY = click.option(
    "--notify",
    envvar="MEDSR_NOTIFY",
    default="",
    help="Prefect's notification block, TYPE/NAME: told of failures, questions, drift, decisions; else MEDSR_NOTIFY.",
)
PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--port", type=PORT, help="Of Prefect's server; else 4200, or a free one where that is taken.")
@click.option("--mlflow-port", type=PORT, help="Of MLflow's pages; else 5000, or a free one where that is taken.")
@click.option("-d", "--detach", is_flag=True, help="Run it in the background; this command returns once all answers.")
@NOTIFY
@click.pass_context
def up(ctx: click.Context, port: int | None, mlflow_port: int | None, detach: bool, notify: str) -> None:
    """Run by schedule: server, worker, MLflow's pages and what infra/prefect.yaml says, until Ctrl-C."""
    if detach:
        from flows import detached

        ctx.exit(detached.start(Path(), port, mlflow_port, notify, click.echo))
    from flows import up

    ctx.exit(up.run(Path(), port, mlflow_port, notify, click.echo))


@click.command()
@click.pass_context
def down(ctx: click.Context) -> None:
    """End what `medsr up` runs here, and wait until it has ended."""
    from flows import down

    ctx.exit(down.run(Path(), click.echo))


@click.command()
@AS_JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what runs here, who is at work, and what ran and comes by schedule; exit code 1 where a server is missing.

    Without a `medsr up` here, the server that PREFECT_API_URL names is shown.
    """
    from flows import status

    examined = status.examine(Path())
    click.echo(json.dumps(examined.as_dict(), indent=2) if as_json else "\n".join(_shown(examined)))
    ctx.exit(0 if examined.well else 1)


def _shown(status: Status) -> list[str]:
    lines = columns([_titled(vars(service)) for service in status.services])
    lines += ["", f"medsr up: {status.up or 'does not run here'}", f"at work: {status.at_work or 'nobody'}"]
    if status.deployments:
        lines += ["", *columns([_titled(vars(deployment)) for deployment in status.deployments])]
    return lines


def _titled(row: dict[str, str]) -> dict[str, str]:
    """The row with titles in words, and a dash for what there is none of."""
    return {name.replace("_", " "): value or "–" for name, value in row.items()}


@click.command()
@click.option("--server", envvar="PREFECT_API_URL", required=True, help="Its address, …/api; else PREFECT_API_URL.")
@NOTIFY
def deploy(server: str, notify: str) -> None:
    """Register what infra/prefect.yaml says with a Prefect server that runs already."""
    from flows import deployments

    click.echo("\n".join(deployments.register(Path(), server, notify)))
