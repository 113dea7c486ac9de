"""The ledger of promotions: moves the aliases under one lock, records each move, and finishes an interrupted one.

`mlruns/promotions.jsonl` is append-only. A move is first written to `promotion.pending.json` beside it, then made, then
appended. After a kill at any point, the next process that opens the ledger finishes the move and appends it once.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.adapters import registry
from components.adapters.registry import CHALLENGER, CHAMPION, CLASSIFIER, PREVIOUS, Version
from components.evidence.policy import Criterion
from components.handover import Layout, StepError, read_json, sha256_of, write_json
from components.handover.names import LOCK, WEIGHTS
from components.learning.weights import load_weights

POLICY = "policy"  # `by` of a decision that no person took
RETRY_S = 0.1
PROMOTED, REFUSED, ROLLED_BACK, DECLINED = "promoted", "refused", "rolled back", "declined"
SET_ASIDE = "set aside"  # a pending move that could not be made any more


@dataclass(frozen=True)
class Entry:
    """One line of the ledger; `at` is added where it is written."""

    model: str
    method: str
    version: str
    outcome: str  # promoted | refused | rolled back | declined | set aside
    replaced: str  # version of the champion before; empty where there was none
    by: str  # policy, or the person who asked for it
    reason: str = ""  # a person's
    lines: tuple[Criterion, ...] = ()
    held_out_sha256: str = ""
    run_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON gives it back."""
        return dict(json.loads(json.dumps(asdict(self))))


class Ledger:
    """Appends to `promotions.jsonl` and moves aliases; `opened` gives one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def note(self, entry: Entry) -> None:
        """Appends a decision that moves no alias."""
        _append(self._layout, _dated(entry))

    def move(self, entry: Entry, aliases: dict[str, str]) -> None:
        """Points each alias of `entry.model` at its version, or removes it where the version is empty.

        Raises `StepError` where another clone of the project has changed the champion; then nothing is moved.
        """
        write_json(_pending(self._layout), {"entry": _dated(entry), "aliases": aliases})
        if obstacle := _finish(self._layout):
            raise StepError(
                f"{entry.model} {entry.version}: {obstacle}. Nothing was moved. "
                "See `medsr models list`, and decide again."
            )


@contextmanager
def opened(layout: Layout, patience_s: float = 60.0) -> Iterator[Ledger]:
    """The ledger, locked until the block ends. Raises `StepError` where another process keeps it for `patience_s`."""
    layout.mlruns.mkdir(parents=True, exist_ok=True)
    with (layout.mlruns / ".promotions.lock").open("a") as lock:
        until = time.monotonic() + patience_s
        while not _try_lock(lock.fileno()):
            if time.monotonic() > until:
                raise StepError(
                    f"{lock.name}: another promotion is under way, for more than {patience_s:g} s. Wait for it."
                )
            time.sleep(RETRY_S)
        _drop_partial_line(_path(layout))
        _finish(layout)
        yield Ledger(layout)


def history(layout: Layout) -> list[dict[str, Any]]:
    """Every decision that was taken, oldest first."""
    path = _path(layout)
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(True) if line.endswith("\n")]


def promote(layout: Layout, model: str, number: str, by: str, reason: str) -> Entry:
    """Promotes a version on the word of a person, after its health check."""
    with opened(layout) as ledger:
        version, champion = version_of(layout, model, number), registry.by_alias(layout, model, CHAMPION)
        if champion and champion.number == number:
            raise StepError(f"{model} {number}: is the champion already. Nothing was changed.")
        if (layout.root / LOCK).is_file() and not version.traced:
            raise StepError(
                f"{model} {number}: expected what it was made from to be kept with it, found nothing: its registration "
                "was cut short. `medsr run` completes it while it is what was trained last. Nothing was changed."
            )
        check_health(layout, version)
        entry = Entry(
            model,
            version.method,
            number,
            PROMOTED,
            champion.number if champion else "",
            by,
            reason,
            run_id=version.run_id,
        )
        registry.tag(layout, version, registry.WITHDRAWN, "")
        ledger.move(entry, {CHAMPION: number, PREVIOUS: entry.replaced})
        return entry


def decline(layout: Layout, model: str, number: str, by: str, reason: str) -> Entry:
    """Declines a version on the word of a person: the policy will not promote it."""
    with opened(layout) as ledger:
        version, champion = version_of(layout, model, number), registry.by_alias(layout, model, CHAMPION)
        serving = champion.number if champion else ""
        if serving == number:
            raise StepError(f"{model} {number}: is the champion. `medsr models rollback` takes it out of service.")
        registry.tag(layout, version, registry.WITHDRAWN, reason or DECLINED)
        entry = Entry(model, version.method, number, DECLINED, serving, by, reason, run_id=version.run_id)
        ledger.note(entry)
        return entry


def rollback(layout: Layout, model: str, by: str, reason: str) -> Entry:
    """Puts the previous champion back in service. The policy will not promote the withdrawn one again."""
    with opened(layout) as ledger:
        champion, previous = (registry.by_alias(layout, model, alias) for alias in (CHAMPION, PREVIOUS))
        if champion is None or previous is None:
            raise StepError(
                f"{model}: expected a version that served before the champion, found none. "
                f"See `medsr models list`; `medsr models promote NUMBER` puts any version in service."
            )
        check_health(layout, previous)
        registry.tag(layout, champion, registry.WITHDRAWN, reason or "rolled back")
        entry = Entry(
            model, previous.method, previous.number, ROLLED_BACK, champion.number, by, reason, run_id=previous.run_id
        )
        ledger.move(entry, {CHAMPION: previous.number, PREVIOUS: ""})
        return entry


def check_health(layout: Layout, version: Version) -> None:
    """Loads `version` and lets it answer once. Raises `StepError` where its files are not those that were registered,
    or its answer is not of the right shape and finite."""
    folder = registry.folder_of(layout, version)
    digest = sha256_of(folder / WEIGHTS)
    if digest != version.weights_sha256:
        raise StepError(
            f"{version.name} {version.number}: expected weights {version.weights_sha256[:12]}, found {digest[:12]}. "
            "Its files were changed after it was registered: promote another version."
        )
    healthy = _reads(folder) if version.name == CLASSIFIER else _sharpens(folder)
    if not healthy:
        raise StepError(
            f"{version.name} {version.number}: expected finite answers of the right shape, found none. "
            "Nothing was promoted; train it again."
        )


def _sharpens(folder: Path) -> bool:
    network, config = load_weights(folder)
    low = torch.linspace(0, 1, 24 * 20).reshape(1, 1, 24, 20)
    scale = int(config["network"]["scale"])
    with torch.inference_mode():
        high = network(low)
    return tuple(high.shape) == (1, 1, 24 * scale, 20 * scale) and bool(torch.isfinite(high).all())


def _reads(folder: Path) -> bool:
    from components.classical.any_classifier import load_any_classifier  # scikit-learn takes seconds to import

    classifier = load_any_classifier(folder)
    image = np.linspace(0, 1, classifier.size**2, dtype=np.float32).reshape(1, 1, classifier.size, classifier.size)
    probabilities = classifier.probabilities(image.repeat(classifier.channels, 1))
    return probabilities.shape == (1,) and bool(((probabilities >= 0) & (probabilities <= 1)).all())


def version_of(layout: Layout, model: str, number: str) -> Version:
    """The version with that number. Raises `StepError` where there is none."""
    match = next((version for version in registry.list_versions(layout, model) if version.number == number), None)
    if match is None:
        raise StepError(f"{model} {number}: expected a registered version, found none. See `medsr models list`.")
    return match


def _finish(layout: Layout) -> str:
    """Makes the pending move and appends its entry. Gives why it could not be made, as the entry does; else empty."""
    pending = _pending(layout)
    if not pending.is_file():
        return ""
    content = read_json(pending)
    entry, obstacle = content["entry"], _obstacle(layout, content["entry"], content["aliases"])
    if obstacle:
        entry |= {"outcome": SET_ASIDE, "reason": f"{entry.get('outcome')} by {entry.get('by')}: {obstacle}"}
    else:
        _move(layout, entry["model"], content["aliases"])
    if entry not in history(layout)[-1:]:
        _append(layout, entry)
    pending.unlink()
    return obstacle


def _obstacle(layout: Layout, entry: dict[str, Any], aliases: dict[str, str]) -> str:
    """Why a pending move cannot be made, else empty. MLflow cannot check and move in one step."""
    model, replaced = entry["model"], entry.get("replaced", "")
    if aliases[CHAMPION] not in {version.number for version in registry.list_versions(layout, model)}:
        return f"version {aliases[CHAMPION]} is not registered any more"
    champion = registry.by_alias(layout, model, CHAMPION)
    serving = champion.number if champion else ""
    if serving not in (replaced, aliases[CHAMPION]):  # the latter if the move was made before the kill
        return (
            f"expected {replaced or 'no version'} to serve, found {serving or 'none'}: somebody else moved it meanwhile"
        )
    return ""


def _move(layout: Layout, model: str, aliases: dict[str, str]) -> None:
    challenger = registry.by_alias(layout, model, CHALLENGER)
    if challenger and challenger.number == aliases[CHAMPION]:
        aliases |= {CHALLENGER: ""}
    registered = {version.number: version for version in registry.list_versions(layout, model)}
    for alias, number in aliases.items():
        if number in registered:
            registry.point(layout, registered[number], alias)
        else:
            registry.release(layout, model, alias)


def _append(layout: Layout, entry: dict[str, Any]) -> None:
    with _path(layout).open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(entry) + "\n")
        handle.flush()
        os.fsync(handle.fileno())


def _drop_partial_line(path: Path) -> None:
    """Drops a last line that a kill cut short: its entry is still pending, or was never finished."""
    if path.is_file() and (text := path.read_bytes()) and not text.endswith(b"\n"):
        with path.open("r+b") as handle:
            handle.truncate(text.rfind(b"\n") + 1)


def _dated(entry: Entry) -> dict[str, Any]:
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry.as_dict()}


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _path(layout: Layout) -> Path:
    return layout.mlruns / "promotions.jsonl"


def _pending(layout: Layout) -> Path:
    return layout.mlruns / "promotion.pending.json"
