"""Registers the best generator and the classifier, and promotes those that the written policy lets through.

Each registered version carries its model card, brought up to date with the evidence of every run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from components.adapters import registry, tracking
from components.adapters.registry import CHALLENGER, CHAMPION, GENERATOR, PREVIOUS, Version
from components.evidence.policy import Line, above, at_least, generator_lines
from components.evidence_rows import MethodSummary
from components.handover import GENERATORS, Layout, RunRecord, read_record, read_rows
from components.learning.checkpoint import fingerprint
from components.learning.classifier_phase import load_labelled
from components.learning.metrics import crop_border, psnr
from components.learning.patches import iterate_pairs
from components.learning.ranking import auroc
from components.learning.scoring import held_out_digest, network_upscale
from components.learning.weights import load_weights, sha256_of
from components.model_card import classifier_card, generator_card
from components.params import Params
from components.reader_rows import GENERATIVE, READERS, ReaderSummary, SharpenedReading
from components.readers import load_any_reader


@dataclass(frozen=True)
class Decision:
    """What became of one candidate, and on which evidence."""

    model: str
    method: str
    version: str
    outcome: str  # promoted | refused | unchanged
    replaced: str  # version number of the champion before; empty where there was none
    lines: tuple[Line, ...]

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        about = f"{self.model} {self.version} ({self.method})"
        if self.outcome == "unchanged":
            return f"{about} is the champion already: nothing registered, nothing promoted"
        against = f", in place of {self.replaced}" if self.replaced else ", the first champion"
        because = "; ".join(f"{line.rule}: {line.found:.4g} against {line.wanted:.4g}" for line in self.lines)
        if self.outcome == "promoted":
            return f"{about} promoted{against}: {because}"
        failed = "; ".join(f"{line.rule}: {line.found:.4g}, wanted {line.wanted:.4g}" for line in self.failed)
        return f"{about} not promoted: {failed}"

    @property
    def failed(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if not line.holds)


@dataclass(frozen=True)
class Candidate:
    """A trained model that may become champion."""

    model: str  # as registered
    record: RunRecord
    held_out_sha256: str  # of the held-out table it was scored on
    lines: tuple[Line, ...]  # that need no champion
    load: Callable[[Path], object]  # a version of it, from its folder
    against_champion: Callable[[Path], Line]
    card: Callable[[Version], str]  # Markdown


def run(layout: Layout, params: Params) -> list[Decision]:
    """Brings MLflow up to date with the trained models, then registers and promotes. Running twice changes nothing."""
    tracking.initialise(layout)
    records = {
        name: tracking.restore(layout, read_record(layout.model(name) / "run.json"))
        for name in (*GENERATORS, *READERS, GENERATIVE)
    }
    _log_evidence(layout, records)
    candidates = [_generator(layout, params, records), _classifier(layout, params, records)]
    return [_decide(layout, candidate) for candidate in candidates]


def _generator(layout: Layout, params: Params, records: dict[str, RunRecord]) -> Candidate:
    """The best generator by mean PSNR on held-out images; with equal numbers the earlier, simpler one."""
    summary = {line.method: line for line in read_rows(layout.sr_summary, MethodSummary)}
    best = max((summary[name] for name in GENERATORS), key=lambda line: line.psnr_db_mean)
    policy = params.promote
    read = {line.shown: line for line in read_rows(layout.sr_reading, SharpenedReading)}[best.method]
    lines = generator_lines(best, summary["bicubic"], read, policy)

    def against(champion: Path) -> Line:
        gain = best.psnr_db_mean - _mean_psnr(layout, champion)
        return above("PSNR over the champion (dB)", policy.gain_over_champion_db, gain)

    def card(version: Version) -> str:
        return generator_card(layout, params, records[best.method], f"{GENERATOR} {version.number}", lines)

    return Candidate(
        GENERATOR, records[best.method], held_out_digest(layout.super_resolution), lines, load_weights, against, card
    )


def _classifier(layout: Layout, params: Params, records: dict[str, RunRecord]) -> Candidate:
    """The reader with the highest AUROC on held-out images."""
    lines_of = {line.reader: line for line in read_rows(layout.readers, ReaderSummary)}
    best = max((lines_of[name] for name in READERS), key=lambda line: line.auroc)
    lines = (at_least("AUROC", params.promote.classifier_floor_auroc, best.auroc),)

    def against(champion: Path) -> Line:
        return above("AUROC over the champion", 0.0, best.auroc - _auroc(layout, champion))

    def card(version: Version) -> str:
        return classifier_card(layout, records[best.reader], f"{registry.CLASSIFIER} {version.number}", lines)

    digest = fingerprint(*(sha256_of(layout.classification / name) for name in ("index.csv", "images.npy")))
    return Candidate(registry.CLASSIFIER, records[best.reader], digest, lines, load_any_reader, against, card)


def _decide(layout: Layout, candidate: Candidate) -> Decision:
    champion = registry.by_alias(layout, candidate.model, CHAMPION)
    record = candidate.record
    if champion and champion.weights_sha256 == record.weights_sha256:
        registry.describe(layout, champion, candidate.card(champion))
        return Decision(candidate.model, record.name, champion.number, "unchanged", champion.number, ())
    version = registry.by_weights(layout, candidate.model, record.weights_sha256) or _register(layout, candidate)
    registry.describe(layout, version, candidate.card(version))
    lines = candidate.lines
    if champion:
        lines = (*lines, candidate.against_champion(registry.folder_of(layout, champion)))
    outcome = "promoted" if all(line.holds for line in lines) else "refused"
    replaced = champion.number if champion else ""
    decision = Decision(candidate.model, record.name, version.number, outcome, replaced, lines)
    _act(layout, decision, candidate, version, champion)
    _remember(layout, decision, candidate)
    return decision


def _register(layout: Layout, candidate: Candidate) -> Version:
    record = candidate.record
    tags = {
        "held_out_sha256": candidate.held_out_sha256,
        "data_sha256": record.data_sha256,
        "git_revision": record.git_revision,
        "dvc_stage": f"train@{record.name}",
    }
    return registry.register(layout, candidate.model, record, tags)


def _act(layout: Layout, decision: Decision, candidate: Candidate, version: Version, champion: Version | None) -> None:
    """Moves the aliases, after the version has shown that it loads."""
    if decision.outcome != "promoted":
        registry.point(layout, version, CHALLENGER)
        return
    candidate.load(registry.folder_of(layout, version))
    if champion:
        registry.point(layout, champion, PREVIOUS)
    registry.point(layout, version, CHAMPION)


def _remember(layout: Layout, decision: Decision, candidate: Candidate) -> None:
    """Appends to `mlruns/promotions.jsonl`; a refusal that is already there is not said again."""
    path = layout.mlruns / "promotions.jsonl"
    entry = asdict(decision) | {"held_out_sha256": candidate.held_out_sha256, "run_id": candidate.record.run_id}
    entry = json.loads(json.dumps(entry))
    before = history(layout)
    if decision.outcome == "refused" and any(_same(entry, old) for old in before):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **entry}) + "\n")


def history(layout: Layout) -> list[dict[str, Any]]:
    """Every decision that was taken, oldest first."""
    path = layout.mlruns / "promotions.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _same(entry: dict[str, Any], old: dict[str, Any]) -> bool:
    return all(old.get(key) == entry[key] for key in ("model", "version", "outcome", "replaced", "held_out_sha256"))


def _log_evidence(layout: Layout, records: dict[str, RunRecord]) -> None:
    """Held-out scores, and the pictures that show them, with each training's run."""
    digest = sha256_of(layout.sr_samples)
    samples = [layout.sr_samples, layout.sr_summary, layout.sr_comparisons]
    for line in read_rows(layout.sr_summary, MethodSummary):
        if line.method in records:
            metrics = {f"held_out_{key}": value for key, value in asdict(line).items() if isinstance(value, float)}
            pictures = sorted(layout.pictures.glob(f"S*-{line.method}*.png"))
            tracking.log_evaluation(layout, records[line.method].run_id, digest, metrics, [*samples, *pictures])
    digest = sha256_of(layout.readings)
    tables = [layout.readers, layout.readings, layout.reader_curves, layout.sr_reading]
    for reader in read_rows(layout.readers, ReaderSummary):
        metrics = {f"held_out_{key}": value for key, value in asdict(reader).items() if isinstance(value, float)}
        defined = {key: value for key, value in metrics.items() if math.isfinite(value)}
        tracking.log_evaluation(layout, records[reader.reader].run_id, digest, defined, tables)


def _mean_psnr(layout: Layout, champion: Path) -> float:
    """The champion on today's held-out images, sharpened and measured exactly as the candidate was."""
    network, config = load_weights(champion)
    scale = int(config["network"]["scale"])
    upscale = network_upscale(network, scale, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    values = [
        float(psnr(crop_border(upscale(pair.low[None]).clamp(0, 1), scale), crop_border(pair.high[None], scale)))
        for pair in iterate_pairs(layout.super_resolution, "test", scale)
    ]
    return sum(values) / len(values)


def _auroc(layout: Layout, champion: Path) -> float:
    reader = load_any_reader(champion)
    images = load_labelled(layout.classification, "test", reader.classes)
    return auroc(images.labels.bool().numpy(), reader.probabilities(images.images.numpy()))
