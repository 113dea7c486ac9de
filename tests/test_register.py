"""Who is promoted, who waits, who is refused, and what serves afterwards."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import evaluate, register, train
from components.adapters import registry
from components.adapters.tracking import connect
from components.handover import GENERATORS, Layout, StepError, read_record, read_rows, write_rows
from components.handover.classifier_rows import ClassifierSummary
from components.handover.sr_rows import MethodSummary
from components.learning.weights import load_weights
from components.params import Params
from components.promotion import ledger
from tests.evaluated import evaluated, layout, recorded
from tests.settings import lenient, small

__all__ = ["evaluated", "layout", "recorded"]  # fixtures


def test_the_first_candidates_are_promoted_and_running_again_changes_nothing(layout: Layout) -> None:
    params = lenient()
    first = register.run(layout, params)
    assert [decision.outcome for decision in first] == ["promoted", "promoted"]
    best = max((r for r in read_rows(layout.sr_summary, MethodSummary) if r.method != "bicubic"), key=_psnr)
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.method == best.method
    assert champion.weights_sha256 == read_record(layout.model(best.method) / "run.json").weights_sha256
    again = register.run(layout, params)
    assert [decision.outcome for decision in again] == ["unchanged", "unchanged"]
    assert len(registry.list_versions(layout, "sr-generator")) == 1
    assert len(ledger.history(layout)) == 2


def test_the_champion_loads_by_alias_as_ours_and_as_any_pyfunc(layout: Layout) -> None:
    register.run(layout, lenient())
    generator = registry.load_generator(layout)
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None
    network, _ = load_weights(layout.model(champion.method))
    image = torch.rand(1, 1, 9, 11)
    with torch.inference_mode():
        torch.testing.assert_close(generator.network(image), network(image))
    served = connect(layout).pyfunc.load_model("models:/sr-generator@champion").predict(image.numpy())
    assert served.shape == (1, 1, 36, 44)
    np.testing.assert_allclose(served, network(image).detach().numpy(), atol=1e-5)


def under(mode: str) -> Params:
    params = lenient()
    return replace(params, promote=replace(params.promote, mode=mode))


def test_under_approval_a_candidate_waits_for_a_person(layout: Layout) -> None:
    for _ in range(2):
        decision = register.run(layout, under("approval"))[0]
        assert decision.outcome == "awaiting approval" and "medsr models promote 1" in decision.summary
    assert registry.aliases(layout, "sr-generator") == {"challenger": "1"}
    assert [entry["outcome"] for entry in ledger.history(layout)] == ["awaiting approval"] * 2, "once a model"
    ledger.promote(layout, "sr-generator", "1", "Roe", "looked at the pictures")
    assert registry.aliases(layout, "sr-generator") == {"champion": "1"}
    assert register.run(layout, under("approval"))[0].outcome == "unchanged"


def test_a_dry_run_tells_and_changes_nothing(layout: Layout) -> None:
    decision = register.run(layout, under("dry_run"))[0]
    assert decision.outcome == "would promote" and "would be promoted" in decision.summary
    assert registry.list_versions(layout, "sr-generator") == [] and ledger.history(layout) == []
    strict = small()
    refused = register.run(layout, replace(strict, promote=replace(strict.promote, mode="dry_run")))[0]
    assert refused.outcome == "would refuse" and refused.failed


def test_while_promotion_is_disabled_candidates_are_registered_and_nothing_is_promoted(layout: Layout) -> None:
    assert register.run(layout, under("disabled"))[0].outcome == "registered"
    assert registry.aliases(layout, "sr-generator") == {"challenger": "1"}
    assert register.run(layout, under("automatic"))[0].outcome == "promoted"


def test_what_a_person_took_out_is_not_promoted_again_by_the_policy(layout: Layout) -> None:
    register.run(layout, lenient())
    train.run(layout, small(rrdb={"steps": 40, "learning_rate": 2e-3}), "rrdb", tracked=False)
    evaluate.run(layout, small())
    assert register.run(layout, lenient())[0].outcome == "promoted"
    ledger.rollback(layout, "sr-generator", "Roe", "draws ribs")
    decision = register.run(layout, lenient())[0]
    assert decision.outcome == "refused" and "a person said no (draws ribs)" in decision.summary
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == "1"


def test_a_better_generator_takes_over_and_a_worse_one_does_not(layout: Layout) -> None:
    params = lenient()
    register.run(layout, params)
    train.run(layout, small(rrdb={"steps": 40, "learning_rate": 2e-3}), "rrdb", tracked=False)
    evaluate.run(layout, small())
    better = register.run(layout, lenient())[0]
    assert (better.outcome, better.method, better.replaced) == ("promoted", "rrdb", "1")
    previous = registry.by_alias(layout, "sr-generator", "previous")
    assert previous is not None and previous.number == "1"
    for name in GENERATORS:
        train.run(layout, small(**{name: {"steps": 1}}), name, tracked=False)
    evaluate.run(layout, small())
    worse = register.run(layout, lenient())[0]
    assert worse.outcome == "refused" and worse.failed[0].rule.startswith("PSNR over the champion")
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == "2"


def test_whoever_rolls_back_does_not_wait_for_a_candidate_that_is_scored(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    register.run(layout, lenient())
    train.run(layout, small(rrdb={"steps": 40, "learning_rate": 2e-3}), "rrdb", tracked=False)
    evaluate.run(layout, small())
    register.run(layout, lenient())
    train.run(layout, small(rrdb={"steps": 50, "learning_rate": 2e-3}), "rrdb", tracked=False)
    evaluate.run(layout, small())
    scored, score = [], register._mean_psnr

    def slowly(of: Layout, champion: Path) -> float:
        if not scored:
            ledger.rollback(of, "sr-generator", "Roe", "draws ribs")
        scored.append(champion)
        return score(of, champion)

    monkeypatch.setattr(register, "_mean_psnr", slowly)
    decision = register.run(layout, lenient())[0]
    assert decision.replaced == "1" and len(scored) == 2, "held against what serves since"


def _psnr(row: MethodSummary) -> float:
    return row.psnr_db_mean


def test_a_classifier_may_start_from_the_champion(layout: Layout) -> None:
    register.run(layout, lenient())
    before = load_weights(layout.model("classifier"))[0].state_dict()
    settings = small(classifier={"weights": "models:/classifier@champion", "learning_rate": 1e-9})
    train.run(layout, settings, "classifier", tracked=False)
    network, config = load_weights(layout.model("classifier"))
    assert config["start"] == "models:/classifier@champion"
    head = "network.classifier.weight"
    torch.testing.assert_close(network.state_dict()[head], before[head], atol=1e-6, rtol=0)
    with pytest.raises(StepError, match=r"models:/classifier@nobody: expected a registered model"):
        train.run(layout, small(classifier={"weights": "models:/classifier@nobody"}), "classifier", tracked=False)


def test_a_classical_classifier_that_reads_best_is_registered_served_and_held_against(layout: Layout) -> None:
    lines = read_rows(layout.classifiers, ClassifierSummary)
    best = [replace(line, auroc=1.0 if line.classifier == "classical_kmeans" else 0.5) for line in lines]
    write_rows(layout.classifiers, ClassifierSummary, best)
    register.run(layout, lenient())
    classifier, version = registry.load_classifier(layout)
    assert version.method == "classical_kmeans"
    images = np.load(layout.classification / "images.npy")[:3]
    served = connect(layout).pyfunc.load_model("models:/classifier@champion").predict(images)
    np.testing.assert_allclose(served[:, 1], classifier.probabilities(images), rtol=1e-5)
    write_rows(layout.classifiers, ClassifierSummary, [replace(line, auroc=1.0 - line.auroc) for line in best])
    decision = register.run(layout, lenient())[1]
    assert decision.method != "classical_kmeans" and decision.lines[-1].rule == "AUROC over the champion above"
