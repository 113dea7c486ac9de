"""`medsr serve`: the service in the foreground, until it is told to end."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path

import click

from components.adapters import tracking
from components.handover import Layout


def serve(layout: Layout, settings: Path, as_json: bool) -> None:
    """Serves until Ctrl-C or SIGTERM. Raises `StepError` where it cannot begin."""
    from components.serving import journal
    from components.serving import settings as settings_file
    from components.serving.champion import Champion, from_registry
    from components.serving.service import Ports, Service

    loaded = settings_file.load(settings)
    journal.begin()
    tracking.initialise(layout)
    champion = Champion(from_registry(layout))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def ready(ports: Ports) -> None:
        serving, http = champion.generator, loaded.http
        status = {"ae_title": loaded.node.ae_title, "host": loaded.node.host, "port": ports.dicom}
        status |= {"url": f"http{'s' * bool(http.certificate)}://{http.host}:{ports.http}"}
        status |= {"model": serving.name, "version": serving.version}
        text = "{ae_title} at {host}:{port} and {url}, {model} {version}; Ctrl-C ends it".format(**status)
        click.echo(json.dumps(status) if as_json else text)
        if not http.tokens:
            click.echo("Nobody may use HTTP yet: `medsr token NAME` makes a token.", err=True)

    Service(layout, loaded, champion).run(stop, ready)
