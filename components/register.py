"""Registers the best generator and the best classifier, and promotes those that pass the written policy.

Each registered version carries its model card; every run updates it with its evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.adapters import registry, tracking, training_runs
from components.adapters.registry import CHALLENGER, CHAMPION, GENERATOR, PREVIOUS, Version
from components.evidence.averaging import mean
from components.evidence.policy import Criterion, above, at_least, best_generator, generator_criteria
from components.handover import GENERATORS, Layout, RunRecord, read_json, read_record, read_rows, sha256_of
from components.handover.classifier_rows import ClassifierSummary
from components.handover.methods import CLASSIFIERS, GENERATIVE, training_stage
from components.handover.names import PICTURES, RECORD
from components.handover.sr_rows import MethodSummary
from components.learning.datasets import labelled, pairs
from components.learning.datasets.labelled import load_labelled
from components.learning.datasets.pairs import iterate_pairs
from components.learning.device import best_device
from components.learning.inference.upscaling import network_upscale
from components.learning.metrics.image_quality import crop_border, psnr
from components.learning.metrics.ranking import auroc
from components.learning.weights import load_weights
from components.pages.classifiers import sharpened_classification_of
from components.pages.model_card import classifier_card, generator_card
from components.params import Params
from components.promotion import lineage
from components.promotion.ledger import POLICY, PROMOTED, REFUSED, Entry, Ledger, check_health, history, opened

AWAITING, REGISTERED = "awaiting approval", "registered"
WOULD_PROMOTE, WOULD_REFUSE = "would promote", "would refuse"
# the outcome for a candidate under each mode of `promote`: if it passes the policy, and if it does not
OUTCOMES = {
    "automatic": (PROMOTED, REFUSED),
    "approval": (AWAITING, REFUSED),
    "disabled": (REGISTERED, REGISTERED),
    "dry_run": (WOULD_PROMOTE, WOULD_REFUSE),
}
NOT_REGISTERED = "(new)"


@dataclass(frozen=True)
class Decision:
    """The outcome for one candidate, and its evidence."""

    model: str
    method: str
    version: str
    outcome: str  # promoted | refused | unchanged | awaiting approval | registered | would promote | would refuse
    replaced: str  # version number of the champion before; empty where there was none
    lines: tuple[Criterion, ...]

    @property
    def summary(self) -> str:
        """One sentence for a person."""
        version_name = f"{self.model} {self.version} ({self.method})"
        if self.outcome == "unchanged":
            return f"{version_name} is the champion already: nothing registered, nothing promoted"
        scores = "; ".join(f"{line.rule}: {line.found:.4g} against {line.wanted:.4g}" for line in self.lines)
        failures = "; ".join(f"{line.rule}: {line.found:.4g}, wanted {line.wanted:.4g}" for line in self.failed)
        replacing = f", in place of {self.replaced}" if self.replaced else ", the first champion"
        sentences = {
            PROMOTED: f"promoted{replacing}: {scores}",
            REFUSED: f"not promoted: {failures}",
            AWAITING: f"waits for a person, `medsr models promote {self.version}`{replacing}: {scores}",
            REGISTERED: f"registered; promotion is disabled (promote.mode): {scores}",
            WOULD_PROMOTE: f"would be promoted{replacing}, in no dry run: {scores}",
            WOULD_REFUSE: f"would not be promoted, in no dry run either: {failures}",
        }
        return f"{version_name} {sentences[self.outcome]}"

    @property
    def failed(self) -> tuple[Criterion, ...]:
        return tuple(line for line in self.lines if not line.holds)


@dataclass(frozen=True)
class Candidate:
    """A trained model that may become champion."""

    model: str  # as registered
    record: RunRecord
    held_out_sha256: str  # of the held-out images that it was scored on
    lines: tuple[Criterion, ...]  # criteria that need no champion
    against_champion: Callable[[Path], Criterion]
    card: Callable[[Version], str]  # Markdown


def run(layout: Layout, params: Params) -> list[Decision]:
    """Brings MLflow up to date with the trained models, then registers and promotes. Running twice changes nothing.

    Raises `tracking.Unreachable` where MLflow cannot be reached; the next run completes what is missing.
    """
    tracking.initialise(layout)
    with tracking.reached(layout):
        records = {
            name: training_runs.restore(layout, read_record(layout.model(name) / RECORD))
            for name in (*GENERATORS, *CLASSIFIERS, GENERATIVE)
        }
        _log_evidence(layout, records)
        candidates = [_generator(layout, params, records), _classifier(layout, params, records)]
        return [_decided(layout, candidate, params.promote.mode) for candidate in candidates]


def _generator(layout: Layout, params: Params, records: dict[str, RunRecord]) -> Candidate:
    """The best generator by mean PSNR on held-out images; with equal numbers the earlier, simpler one."""
    summary = read_rows(layout.sr_summary, MethodSummary)
    best, bicubic = best_generator(summary), next(line for line in summary if line.method == "bicubic")
    policy = params.promote
    classification = sharpened_classification_of(layout, best.method)
    lines = generator_criteria(best, bicubic, classification, policy)

    def against_champion(champion: Path) -> Criterion:
        gain = best.psnr_db_mean - _mean_psnr(layout, champion)
        return above("PSNR over the champion (dB)", policy.gain_over_champion_db, gain)

    def card(version: Version) -> str:
        return generator_card(layout, params, records[best.method], f"{GENERATOR} {version.number}", lines)

    return Candidate(
        GENERATOR, records[best.method], pairs.held_out_digest(layout.super_resolution), lines, against_champion, card
    )


def _classifier(layout: Layout, params: Params, records: dict[str, RunRecord]) -> Candidate:
    """The classifier with the highest AUROC on held-out images."""
    summaries = {line.classifier: line for line in read_rows(layout.classifiers, ClassifierSummary)}
    best = max((summaries[name] for name in CLASSIFIERS), key=lambda line: line.auroc)
    lines = (at_least("AUROC", params.promote.classifier_floor_auroc, best.auroc),)

    def against_champion(champion: Path) -> Criterion:
        return above("AUROC over the champion", 0.0, best.auroc - _auroc(layout, champion))

    def card(version: Version) -> str:
        return classifier_card(layout, records[best.classifier], f"{registry.CLASSIFIER} {version.number}", lines)

    digest = labelled.held_out_digest(layout.classification)
    return Candidate(registry.CLASSIFIER, records[best.classifier], digest, lines, against_champion, card)


def _decided(layout: Layout, candidate: Candidate, mode: str) -> Decision:
    """The decision on `candidate`, compared with the champion that serves when it is taken.

    Scoring takes minutes and does not lock the ledger, so that a person can roll back meanwhile.
    """
    while True:
        champion = registry.by_alias(layout, candidate.model, CHAMPION)
        lines = candidate.lines
        if champion and champion.weights_sha256 != candidate.record.weights_sha256:
            lines = (*lines, candidate.against_champion(registry.folder_of(layout, champion)))
        with opened(layout) as ledger:
            if registry.by_alias(layout, candidate.model, CHAMPION) == champion:
                return _decide(layout, candidate, mode, ledger, champion, lines)


def _decide(
    layout: Layout,
    candidate: Candidate,
    mode: str,
    ledger: Ledger,
    champion: Version | None,
    lines: tuple[Criterion, ...],
) -> Decision:
    record = candidate.record
    if champion and champion.weights_sha256 == record.weights_sha256:
        lineage.complete(layout, champion)
        registry.describe(layout, champion, candidate.card(champion))
        return Decision(candidate.model, record.name, champion.number, "unchanged", champion.number, ())
    version = registry.by_weights(layout, candidate.model, record.weights_sha256)
    if version is None and mode != "dry_run":
        version = _register(layout, candidate)
    if version and mode != "dry_run":
        lineage.complete(layout, version)
        registry.describe(layout, version, candidate.card(version))
    if version and version.withdrawn:
        lines = (*lines, Criterion(f"times a person said no ({version.withdrawn}) at most", 0, 1, holds=False))
    outcome = OUTCOMES[mode][0 if all(line.holds for line in lines) else 1]
    replaced, number = champion.number if champion else "", version.number if version else NOT_REGISTERED
    decision = Decision(candidate.model, record.name, number, outcome, replaced, lines)
    if version:
        _act(layout, decision, candidate, version, ledger)
    return decision


def _act(layout: Layout, decision: Decision, candidate: Candidate, version: Version, ledger: Ledger) -> None:
    """Promotes after a health check; else moves the challenger and notes the decision once. A dry run does neither."""
    digest, run = candidate.held_out_sha256, candidate.record.run_id
    fields = (decision.model, decision.method, decision.version, decision.outcome, decision.replaced, POLICY)
    entry = Entry(*fields, lines=decision.lines, held_out_sha256=digest, run_id=run)
    if decision.outcome == PROMOTED:
        check_health(layout, version)
        ledger.move(entry, {CHAMPION: version.number, PREVIOUS: decision.replaced})
    elif decision.outcome not in (WOULD_PROMOTE, WOULD_REFUSE):
        registry.point(layout, version, CHALLENGER)
        if not any(_same_decision(entry.as_dict(), earlier) for earlier in history(layout)):
            ledger.note(entry)


def _register(layout: Layout, candidate: Candidate) -> Version:
    record = candidate.record
    tags = {
        "held_out_sha256": candidate.held_out_sha256,
        "data_sha256": record.data_sha256,
        "git_revision": record.git_revision,
        "dvc_stage": training_stage(record.name),
        **lineage.keep(layout, record.model_id),
    }
    return registry.register(layout, candidate.model, record, tags)


def _same_decision(entry: dict[str, Any], earlier: dict[str, Any]) -> bool:
    return all(earlier.get(key) == entry[key] for key in ("model", "version", "outcome", "replaced", "held_out_sha256"))


def _log_evidence(layout: Layout, records: dict[str, RunRecord]) -> None:
    """Logs held-out scores, tables and pictures to the MLflow run of each training."""
    digest = sha256_of(layout.sr_samples)
    samples = [layout.sr_samples, layout.sr_summary, layout.sr_comparisons]
    shown = read_json(layout.pictures / PICTURES)
    for line in read_rows(layout.sr_summary, MethodSummary):
        if line.method in records:
            metrics = _numbers(line)
            pictures = [layout.pictures / file for sample in shown for file in sample["methods"][line.method].values()]
            training_runs.log_evaluation(layout, records[line.method].run_id, digest, metrics, [*samples, *pictures])
    digest = sha256_of(layout.predictions)
    tables = [layout.classifiers, layout.predictions, layout.classifier_curves, layout.sr_classification]
    for classifier in read_rows(layout.classifiers, ClassifierSummary):
        training_runs.log_evaluation(
            layout, records[classifier.classifier].run_id, digest, _numbers(classifier), tables
        )


def _numbers(line: MethodSummary | ClassifierSummary) -> dict[str, float]:
    """The scores of `line` that are finite, as MLflow takes them."""
    scores = {f"held_out_{key}": value for key, value in asdict(line).items() if isinstance(value, float)}
    return {key: value for key, value in scores.items() if math.isfinite(value)}


def _mean_psnr(layout: Layout, champion: Path) -> float:
    """The champion's mean PSNR on today's held-out images, measured exactly as the candidate's."""
    network, config = load_weights(champion)
    scale = int(config["network"]["scale"])
    upscale = network_upscale(network, scale, best_device())
    values = [
        float(psnr(crop_border(upscale(pair.low[None]).clamp(0, 1), scale), crop_border(pair.high[None], scale)))
        for pair in iterate_pairs(layout.super_resolution, "test", scale)
    ]
    return mean(np.array(values))


def _auroc(layout: Layout, champion: Path) -> float:
    from components.classical.any_classifier import load_any_classifier  # scikit-learn takes seconds to import

    classifier = load_any_classifier(champion)
    images = load_labelled(layout.classification, "test", classifier.classes)
    return auroc(images.labels.bool().numpy(), classifier.probabilities(images.images.numpy()))
