"""A bucket on this machine that DVC takes for Amazon's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "store"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
USERS_OWN = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN")


@dataclass(frozen=True)
class ObjectStore:
    """A server with one empty bucket; `stop` takes it off the network."""

    address: str
    stop: Callable[[], None]

    def settings(self) -> Iterator[tuple[str, ...]]:
        """What to give `dvc remote` so that it becomes the default remote."""
        yield "add", "-d", "store", f"s3://{BUCKET}/medsr"
        yield "modify", "store", "endpointurl", self.address

    def put(self, key: str, held: bytes) -> None:
        boto3.resource("s3", endpoint_url=self.address).Object(BUCKET, key).put(Body=held)

    def content(self) -> dict[str, bytes]:
        """Every object by its key."""
        bucket = boto3.resource("s3", endpoint_url=self.address).Bucket(BUCKET)
        return {found.key: found.get()["Body"].read() for found in bucket.objects.all()}


@contextmanager
def served(nowhere: Path) -> Iterator[ObjectStore]:
    """The store on a free port, credentials for it in the environment; there are no others, as nothing is `nowhere`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    store = ObjectStore(f"http://{host}:{port}", server.stop)
    with pytest.MonkeyPatch.context() as patch:
        for name in USERS_OWN:
            patch.delenv(name, raising=False)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            patch.setenv(name, str(nowhere / name))
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        patch.setenv("NO_PROXY", host)
        bucket = boto3.resource("s3", endpoint_url=store.address).Bucket(BUCKET)
        bucket.create()  # moto keeps its buckets for the process
        bucket.objects.all().delete()
        yield store
    server.stop()
