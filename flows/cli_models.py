"""The command line of the registry: `medsr models …`."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from components.handover import Layout

if TYPE_CHECKING:
    from components.adapters.registry import Version

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
MODEL = click.option(
    "--model", default="sr-generator", show_default=True, type=click.Choice(["sr-generator", "classifier"])
)


def _person() -> str:
    try:
        return getpass.getuser()
    except OSError:  # a container's user may have no name
        return f"user {os.getuid()}"


BY = click.option("--by", default=_person, show_default="you", help="Who decides this.")


@click.group()
def models() -> None:
    """The registered models."""


@models.command("list")
@click.option("--made-of", default="", metavar="DIGEST", help="Only what was made from this commit, data or dvc.lock.")
@AS_JSON
def list_(made_of: str, as_json: bool) -> None:
    """Every version, and which of them serves."""
    from components.adapters import registry

    rows = []
    for name in (registry.GENERATOR, registry.CLASSIFIER):
        pointed = registry.aliases(Layout(), name)
        for version in registry.list_versions(Layout(), name):
            if not any(digest.startswith(made_of) for digest in version.made_of):
                continue
            serves = sorted(alias for alias, number in pointed.items() if number == version.number)
            rows.append({"model": name, "version": version.number, "method": version.method, "aliases": serves})
    nothing = "no model is registered yet; `medsr run` registers the first"
    _table(rows, as_json, f"no version was made from {made_of}" if made_of else nothing)


@models.command()
@AS_JSON
def history(as_json: bool) -> None:
    """Who was promoted over whom, and who was refused, oldest first."""
    from components.promotion import ledger

    decisions = ledger.history(Layout())
    if not as_json:
        keys = ("at", "model", "version", "method", "outcome", "replaced", "by", "reason")
        decisions = [{key: decision.get(key, "") for key in keys} for decision in decisions]
    _table(decisions, as_json, "nothing was promoted or refused yet; `medsr run` decides for the first time")


@models.command()
@click.argument("number", default="")
@MODEL
@AS_JSON
def show(number: str, model: str, as_json: bool) -> None:
    """What version NUMBER, or the champion, was made from, down to commit, data and packages; what became of it."""
    from components.promotion import lineage

    chain = lineage.trace(Layout(), _version(model, number))
    click.echo(json.dumps(chain.as_dict(), indent=2, default=str) if as_json else "\n".join(chain.lines()))


@models.command()
@click.argument("number", default="")
@MODEL
def card(number: str, model: str) -> None:
    """The model card of version NUMBER, or of the champion, in Markdown."""
    from components.adapters import registry

    version = _version(model, number)
    path = registry.folder_of(Layout(), version).parents[1] / registry.CARD
    if not path.is_file():
        raise click.ClickException(
            f"{model} {version.number}: has no card yet; `medsr run` writes that of a candidate."
        )
    click.echo(path.read_text(encoding="utf-8"), nl=False)


@models.command()
@click.argument("number")
@click.option("--reason", required=True, help="Why; it is kept with the decision.")
@MODEL
@BY
def promote(number: str, reason: str, model: str, by: str) -> None:
    """Put version NUMBER in service because you say so, whatever the policy says."""
    from components.promotion import ledger

    decision = ledger.promote(Layout(), model, number, by, reason)
    against = f" in place of {decision.replaced}" if decision.replaced else ""
    click.echo(f"{model} {number} ({decision.method}) is the champion{against}. `medsr models rollback` takes it back.")


@models.command()
@click.argument("number")
@click.option("--reason", required=True, help="Why; it is kept with the decision and on the version.")
@MODEL
@BY
def decline(number: str, reason: str, model: str, by: str) -> None:
    """Keep version NUMBER, which waits for a person or was registered, out of service; the policy obeys."""
    from components.promotion import ledger

    decision = ledger.decline(Layout(), model, number, by, reason)
    click.echo(f"{model} {number} ({decision.method}) will not be promoted by the policy.")


@models.command()
@click.option("--reason", default="", help="Why; it is kept with the decision and on the version that is taken out.")
@MODEL
@BY
def rollback(reason: str, model: str, by: str) -> None:
    """Put back what served before the champion; the policy will not promote again what is taken out."""
    from components.promotion import ledger

    decision = ledger.rollback(Layout(), model, by, reason)
    version, replaced = f"{model} {decision.version} ({decision.method})", decision.replaced
    click.echo(f"{version} is the champion again; {replaced} is out of service.")


@models.command()
@click.argument("number", default="")
@MODEL
@AS_JSON
@click.pass_context
def reproduce(ctx: click.Context, number: str, model: str, as_json: bool) -> None:
    """Train version NUMBER, or the champion, again from its commit, data and settings; exit code 1 where it differs.

    In a temporary folder: nothing here is changed. It takes as long as the training took.
    """
    from flows import reproduction

    comparison = reproduction.reproduce(Layout(), _version(model, number), lambda line: click.echo(line, err=True))
    click.echo(json.dumps(asdict(comparison), indent=2) if as_json else "\n".join(comparison.lines()))
    ctx.exit(int(not comparison.same))


def _version(model: str, number: str) -> Version:
    from components.adapters import registry
    from components.promotion.ledger import version_of

    champion = None if number else registry.by_alias(Layout(), model, registry.CHAMPION)
    if not number and champion is None:
        raise click.ClickException(f"{model}: has no champion yet. Give a version's number, or run `medsr run`.")
    return champion or version_of(Layout(), model, number)


def _table(rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    """`rows` as JSON or as columns; `nothing` where there are none."""
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(nothing)
        return
    click.echo("\n".join(columns(rows)))


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """`rows` as lines of aligned columns, under the names of the first row's."""
    shown = [tuple(rows[0]), *(tuple(_cell(value) for value in row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
