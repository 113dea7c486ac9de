"""MLflow's registry: versions, and the aliases that say which one serves."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.adapters.logged_models import fetch
from components.adapters.tracking import connect
from components.handover import Layout, RunRecord, StepError, write_json
from components.handover.names import CHAMPION_RECORD, CONFIG, WEIGHTS
from components.learning.device import best_device
from components.learning.inference.generator import Generator
from components.learning.weights import load_weights

if TYPE_CHECKING:
    from components.classical.any_classifier import Classifier

GENERATOR, CLASSIFIER = "sr-generator", "classifier"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
LOGGED = "models:/"  # before the id of a logged model, which is what a version is made from
CARD = "model_card.md"
MADE_OF = ("weights_sha256", "data_sha256", "git_revision", "held_out_sha256", "dvc_lock_sha256")  # tags of a version
WITHDRAWN = "withdrawn"  # tag of a version that a person took out of service or declined, with the reason
LONGEST_DESCRIPTION = 5000  # characters that MLflow's column of descriptions holds


@dataclass(frozen=True)
class Version:
    """One registered version."""

    name: str
    number: str
    method: str  # srcnn … esrgan, or classifier
    weights_sha256: str
    run_id: str
    source: str
    card_sha256: str  # of the model card; empty where it has none yet
    withdrawn: str = ""  # why a person took it out of service or declined it; else empty
    made_of: tuple[str, ...] = ("",)  # digests of weights, training data, commit, held-out data and dvc.lock

    @property
    def model_id(self) -> str:
        """Of the logged model that it was made from."""
        return self.source.removeprefix(LOGGED)

    @property
    def traced(self) -> bool:
        """Whether `dvc.lock` is kept with it, and all that it names."""
        return bool(self.made_of[-1])


def by_alias(layout: Layout, name: str, alias: str) -> Version | None:
    """The version that `alias` points at, or `None`. MLflow's searches do not give aliases."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(_client(layout).get_model_version_by_alias(name, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def by_weights(layout: Layout, name: str, weights_sha256: str) -> Version | None:
    """The version with exactly these weights, or `None`."""
    return next((v for v in list_versions(layout, name) if v.weights_sha256 == weights_sha256), None)


def list_versions(layout: Layout, name: str) -> list[Version]:
    """Every version of `name`, oldest first; empty where the model is not registered."""
    versions = _client(layout).search_model_versions(f"name = '{name}'")
    return sorted((_version(version) for version in versions), key=lambda version: int(version.number))


def aliases(layout: Layout, name: str) -> dict[str, str]:
    """Which version number each alias points at."""
    pointed = {alias: by_alias(layout, name, alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    return {alias: version.number for alias, version in pointed.items() if version}


def register(layout: Layout, name: str, record: RunRecord, tags: dict[str, str]) -> Version:
    """A new version of `name` from the model that `record`'s run logged."""
    from mlflow.exceptions import MlflowException

    client = _client(layout)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    registered = client.create_model_version(
        name,
        source=LOGGED + record.model_id,
        run_id=record.run_id,
        model_id=record.model_id,
        tags={"method": record.name, "weights_sha256": record.weights_sha256, **tags},
    )
    return _version(registered)


def describe(layout: Layout, version: Version, card: str) -> None:
    """Stores the Markdown `card` with the files of `version` and shows it on its page, unless it is already there.

    A page holds less than a file. It shows the beginning of a longer card and says where the whole is.
    """
    digest = hashlib.sha256(card.encode()).hexdigest()
    if version.card_sha256 == digest:
        return
    client = _client(layout)
    with tempfile.TemporaryDirectory(prefix="medsr-card-") as folder:
        path = Path(folder, CARD)
        path.write_text(card, encoding="utf-8")
        attach(layout, version.model_id, [path])
    client.update_model_version(version.name, version.number, shortened(card))
    client.set_model_version_tag(version.name, version.number, "card_sha256", digest)


def attach(layout: Layout, model_id: str, paths: list[Path], folder: str | None = None) -> None:
    """Stores files in `folder` of a logged model, and so of its version. Replaces files of the same name."""
    client = _client(layout)
    for path in paths:
        client.log_model_artifact(model_id, str(path), folder)


def shortened(card: str) -> str:
    """`card`, or as many of its first lines as a description holds, and where the rest is."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    pointer = f"\nThe whole card: {CARD} among the model's artifacts.\n"
    beginning = card[: LONGEST_DESCRIPTION - len(pointer)]
    return beginning[: beginning.rfind("\n") + 1] + pointer


def point(layout: Layout, version: Version, alias: str) -> None:
    """Lets `alias` point at `version`."""
    _client(layout).set_registered_model_alias(version.name, alias, version.number)


def release(layout: Layout, name: str, alias: str) -> None:
    """Lets `alias` point at no version of `name`."""
    if by_alias(layout, name, alias):
        _client(layout).delete_registered_model_alias(name, alias)


def tag(layout: Layout, version: Version, key: str, value: str) -> None:
    """Gives `version` a tag, or takes it away where `value` is empty."""
    if value:
        _client(layout).set_model_version_tag(version.name, version.number, key, value)
    else:
        _client(layout).delete_model_version_tag(version.name, version.number, key)


def folder_of(layout: Layout, version: Version) -> Path:
    """The folder with the files of `version`: JSON and safetensors, no pickles."""
    return fetch(layout, f"models:/{version.name}/{version.number}")


def export_champion(layout: Layout) -> None:
    """Copies the weights of the champion into `data/champion`, where the next evaluation finds them.

    Without a champion only `.gitignore` is left there. The folder is replaced as a whole, so that an evaluation reads
    one champion's files and two runs do not mix theirs.
    """
    version = by_alias(layout, GENERATOR, CHAMPION)
    if version is None and not layout.champion.is_dir():
        return
    layout.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=layout.data, prefix=".champion-") as temporary:
        fresh, ignored = Path(temporary, "made"), layout.champion / ".gitignore"
        fresh.mkdir()
        if ignored.is_file():
            shutil.copyfile(ignored, fresh / ignored.name)
        if version:
            _fill(fresh, version, folder_of(layout, version))
        with _alone(layout.data):
            if layout.champion.is_dir():
                layout.champion.rename(Path(temporary, "before"))
            fresh.rename(layout.champion)


def _fill(fresh: Path, version: Version, folder: Path) -> None:
    for name in (WEIGHTS, CONFIG):
        shutil.copyfile(folder / name, fresh / name)
    record = {"name": version.name, "version": version.number, "method": version.method}
    write_json(fresh / CHAMPION_RECORD, record | {"weights_sha256": version.weights_sha256})


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Locks `folder` for the length of the block, after waiting for other processes of this kind."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def load_version(layout: Layout, name: str) -> tuple[Path, str]:
    """The folder and the label of the generator `name`, `sr-generator@ALIAS` or `sr-generator/NUMBER`."""
    model, _, alias_or_number = name.replace("@", "/").partition("/")
    alias = by_alias(layout, model, alias_or_number) if "@" in name else None
    number = alias.number if alias else alias_or_number
    version = next((v for v in list_versions(layout, model) if v.number == number), None)
    if version is None:
        raise StepError(f"{name}: expected a registered version, found none. See `medsr models list`.")
    return folder_of(layout, version), f"{model}-{version.number}"


def load_generator(layout: Layout, alias: str = CHAMPION) -> Generator:
    """The generator that `alias` points at. Raises `StepError` where there is none yet."""
    version = by_alias(layout, GENERATOR, alias)
    if version is None:
        raise StepError(
            f"models:/{GENERATOR}@{alias}: expected a promoted model, found none. Run `make pipeline` first."
        )
    return generator_of(layout, version)


def generator_of(layout: Layout, version: Version) -> Generator:
    """The generator of `version`, whatever points at it by now, on the GPU where there is one."""
    network, config = load_weights(folder_of(layout, version))
    network = network.to(best_device())
    scale, (low, high) = int(config["network"]["scale"]), config["percentiles"]
    return Generator(network, scale, version.name, version.number, (low, high))


def load_classifier(layout: Layout, alias: str = CHAMPION) -> tuple[Classifier, Version]:
    """The classifier that `alias` points at, and its version. Raises `StepError` where there is none yet."""
    from components.classical.any_classifier import load_any_classifier  # scikit-learn takes seconds to import

    version = by_alias(layout, CLASSIFIER, alias)
    if version is None:
        raise StepError(
            f"models:/{CLASSIFIER}@{alias}: expected a promoted model, found none. Run `make pipeline` first."
        )
    return load_any_classifier(folder_of(layout, version)), version


def _client(layout: Layout) -> Any:
    return connect(layout).MlflowClient()


def _version(entity: Any) -> Version:
    return Version(
        name=entity.name,
        number=str(entity.version),
        method=entity.tags.get("method", ""),
        weights_sha256=entity.tags.get("weights_sha256", ""),
        run_id=entity.run_id or "",
        source=entity.source,
        card_sha256=entity.tags.get("card_sha256", ""),
        withdrawn=entity.tags.get(WITHDRAWN, ""),
        made_of=tuple(entity.tags.get(key, "") for key in MADE_OF),
    )
