"""Trains one classical classifier: `python -m components.train_classical NAME` writes `data/models/NAME`.

It measures features, chooses the best candidate on training patients, and calibrates it on validation patients.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from components.adapters.training_runs import TrackedRun, track
from components.classical.classifier import save_classifier
from components.classical.fitting import Fitted
from components.classical.training import load_data, make_extractor, train
from components.handover import Layout, RunRecord, StepError, folder_digest, write_record
from components.handover.names import HISTORY, RECORD, TRAINED_ON
from components.learning.training.progress import write_history
from components.params import Params
from components.params.run_step import run_step
from components.params.trainings import ClassicalTraining


def run(layout: Layout, params: Params, name: str, tracked: bool = True) -> RunRecord:
    """Trains `name` with its section of `params` and writes its folder."""
    started, settings = time.monotonic(), params.train.get(name)
    if not isinstance(settings, ClassicalTraining):
        raise StepError(f"train {name}: expected a section with `recipe: classical` in params.yaml. Add it.")
    folder = layout.model(name)
    digest = folder_digest(layout.classification)
    parameters = {"profile": params.profile, "seed": params.seed, **asdict(settings)}
    with track(layout, name, parameters, digest) if tracked else nullcontext() as run_:
        data = load_data(layout)
        extractor, training_images = make_extractor(layout, settings, data, params.seed)
        fitted, classifier = train(data, extractor, settings, params.prepare.percentiles, params.seed)
        config = {"name": name, "training": asdict(settings), TRAINED_ON: training_images, "chosen": fitted.chosen}
        weights = save_classifier(folder, classifier, config)
        write_history(folder / HISTORY, [{"step": n, **line} for n, line in enumerate(fitted.candidate_scores, 1)])
        seconds = round(time.monotonic() - started, 3)
        run_id, model_id = _logged(run_, fitted, folder) if run_ else ("", "")
        record = RunRecord(
            name=name,
            run_id=run_id,
            model_id=model_id,
            weights_sha256=weights,
            data_sha256=digest,
            git_revision=run_.git_revision if run_ else "",
            seconds=seconds,
        )
        write_record(folder / RECORD, record)
    return record


def _logged(run_: TrackedRun, fitted: Fitted, folder: Path) -> tuple[str, str]:
    for number, line in enumerate(fitted.candidate_scores, 1):
        run_.scores(number, line)
    return run_.finish(folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m components.train_classical", description=__doc__)
    parser.add_argument("name", help="which classifier: a name under train in params.yaml, with `recipe: classical`")
    chosen = parser.parse_args(arguments)
    return run_step(lambda layout, params: [_summary(run(layout, params, chosen.name))])


def _summary(record: RunRecord) -> str:
    return f"{record.name}: {record.seconds:.0f} s, weights {record.weights_sha256[:12]}"


if __name__ == "__main__":
    raise SystemExit(main())
