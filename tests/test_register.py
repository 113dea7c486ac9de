import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components import evaluate, evaluate_classifiers, register, train
from components.adapters import registry, tracking
from components.adapters.tracking import Unreachable, connect
from components.handover import (
    GENERATORS,
    LabelledRow,
    Layout,
    StepError,
    read_record,
    read_rows,
    sha256_of,
    write_record,
    write_rows,
)
from components.handover.classifier_rows import ClassifierSummary, SharpenedClassification
from components.handover.methods import CLASSIFIERS, GENERATIVE
from components.handover.names import DATABASE
from components.handover.sr_rows import MethodSummary
from components.learning.models import build
from components.learning.weights import load_weights, save_weights
from components.params import Params
from components.promotion import ledger
from tests import tables
from tests.settings import small

LOW_BAR = {
    "floor_psnr_db": 0.0,
    "floor_ssim": 0.0,
    "gain_over_bicubic_db": -99.0,
    "gain_over_bicubic_ssim": -1.0,
    "error_beyond": 99.0,
    "error_beyond_image": 99.0,
    "error_beyond_part": 99.0,
    "consistency_gain_db": -99.0,
    "classifier_floor_auroc": 0.0,
    "classifier_auroc_cost": 1.0,
    "classifier_agreement": 0.0,
}


@pytest.fixture(scope="module")
def evaluated(trained: Layout, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("evaluated") / "project"
    shutil.copytree(trained.root, root)
    evaluate.run(Layout(root), small())
    evaluate_classifiers.run(Layout(root), small())
    tables.write_data(Layout(root))
    return Layout(root)


@pytest.fixture
def unrecorded(evaluated: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The evaluated project, of which MLflow knows nothing."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(evaluated.root, tmp_path / "project")
    return Layout(tmp_path / "project")


@pytest.fixture(scope="module")
def recorded(evaluated: Layout, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The evaluated project with a run in MLflow for every model; nothing is registered."""
    layout = Layout(tmp_path_factory.mktemp("recorded") / "project")
    shutil.copytree(evaluated.root, layout.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracking.initialise(layout)
        for name in (*GENERATORS, *CLASSIFIERS, GENERATIVE):
            tracking.restore(layout, read_record(layout.model(name) / "run.json"))
    shutil.copytree(layout.root, layout.root.with_name("kept"))
    return layout


@pytest.fixture
def layout(recorded: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """The recorded project, which is as it was again after the test; MLflow's records name its place."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield recorded
    kept = Layout(recorded.root.with_name("kept"))
    for folder in (recorded.data, recorded.mlruns):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != DATABASE:
                path.unlink()
    (recorded.root / "dvc.lock").unlink(missing_ok=True)
    shutil.copytree(kept.root, recorded.root, ignore=shutil.ignore_patterns(DATABASE), dirs_exist_ok=True)
    # in place: MLflow keeps its connections
    source, target = (sqlite3.connect(one.mlruns / DATABASE) for one in (kept, recorded))
    with closing(source), closing(target):
        source.backup(target)


def lenient() -> Params:
    """A policy that six steps of training can pass."""
    params = small()
    return replace(params, promote=replace(params.promote, **LOW_BAR))


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


def test_every_version_has_a_card_and_new_evidence_brings_it_up_to_date(layout: Layout) -> None:
    register.run(layout, lenient())
    client = connect(layout).MlflowClient()
    summary = {line.method: line for line in read_rows(layout.sr_summary, MethodSummary)}
    for name in ("sr-generator", "classifier"):
        (version,) = registry.list_versions(layout, name)
        card = (registry.folder_of(layout, version).parents[1] / "model_card.md").read_text()
        assert card.startswith(f"# {name} 1: ") and version.weights_sha256 in card
        assert client.get_model_version(name, "1").description == card
    own = summary[registry.list_versions(layout, "sr-generator")[0].method]
    moved = replace(own, psnr_db_low=own.psnr_db_low - 1)
    write_rows(layout.sr_summary, MethodSummary, [moved if line == own else line for line in summary.values()])
    assert register.run(layout, lenient())[0].outcome == "unchanged"
    card = client.get_model_version("sr-generator", "1").description
    assert f"[{moved.psnr_db_low:.2f}, " in card and f"[{own.psnr_db_low:.2f}, " not in card


def test_a_generator_that_pastes_texture_is_refused_for_that_and_its_card_says_so(layout: Layout) -> None:
    params = lenient()
    params = replace(params, promote=replace(params.promote, error_beyond=1.05))  # bilinear: 1.01 on drawn shapes
    decisions = []
    for amplitude in (0.0, 0.1):
        for name in GENERATORS:
            folder = layout.model(name)
            about = {"network": SRRESNET, "trained_on": [], "training": {}, "percentiles": [0.1, 99.9]}
            save_weights(folder, pasting(amplitude), about)
            found = {"run_id": "", "weights_sha256": sha256_of(folder / "weights.safetensors")}
            write_record(folder / "run.json", replace(read_record(folder / "run.json"), **found))
        evaluate.run(layout, params)
        decisions.append(register.run(layout, params)[0])
    honest, inventing = decisions
    assert honest.outcome == "promoted", honest.summary
    assert inventing.outcome == "refused"
    assert "error beyond the input at most" in {line.rule for line in inventing.failed}
    card = connect(layout).MlflowClient().get_model_version("sr-generator", inventing.version).description
    assert "wrong more than right" in card
    champion = registry.by_alias(layout, "sr-generator", "champion")
    assert champion is not None and champion.number == honest.version


def test_a_candidate_that_fails_the_policy_is_registered_as_challenger_and_the_reason_kept(layout: Layout) -> None:
    decisions = register.run(layout, small())
    assert decisions[0].outcome == "refused" and "not promoted" in decisions[0].summary
    assert registry.by_alias(layout, "sr-generator", "champion") is None
    assert registry.by_alias(layout, "sr-generator", "challenger") is not None
    register.run(layout, small())
    generator_entries = [entry for entry in ledger.history(layout) if entry["model"] == "sr-generator"]
    assert len(generator_entries) == 1 and len(registry.list_versions(layout, "sr-generator")) == 1


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


def test_a_kill_on_the_way_to_a_version_leaves_none_without_its_lineage(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (layout.root / "dvc.lock").write_text("stages: {}\n")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    for module, name in ((registry, "attach"), (registry, "register"), (registry, "describe")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module, name, killed)
            register.run(layout, lenient())
        assert all(version.traced for version in registry.list_versions(layout, "sr-generator")), name
    assert registry.aliases(layout, "sr-generator") == {}
    assert register.run(layout, lenient())[0].outcome == "promoted"


def test_a_version_that_lacks_its_lineage_gets_it_by_the_next_run(layout: Layout) -> None:
    register.run(layout, lenient())
    (layout.root / "dvc.lock").write_text("stages: {}\n")
    assert not registry.list_versions(layout, "sr-generator")[0].traced
    assert register.run(layout, lenient())[0].outcome == "unchanged"
    (version,) = registry.list_versions(layout, "sr-generator")
    assert version.traced
    assert (registry.folder_of(layout, version).parents[1] / "lineage" / "dvc.lock").is_file()


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


def test_an_untracked_training_is_recorded_from_its_folder(unrecorded: Layout) -> None:
    layout = unrecorded
    register.run(layout, lenient())
    mlflow = connect(layout)
    runs = mlflow.search_runs(experiment_names=["super-resolution", "classification"], output_format="list")
    assert {run.info.run_name for run in runs} == {*GENERATORS, *CLASSIFIERS, GENERATIVE}
    rrdb = next(run for run in runs if run.info.run_name == "rrdb")
    assert rrdb.data.tags["restored_from"] == "an untracked training"
    assert rrdb.data.params["network.growth_channels"] == "4"
    assert "held_out_psnr_db_mean" in rrdb.data.metrics
    names = {item.path for item in mlflow.MlflowClient().list_artifacts(rrdb.info.run_id, "evaluation")}
    assert "evaluation/S1-rrdb.png" in names
    curve = mlflow.MlflowClient().get_metric_history(rrdb.info.run_id, "pixel_loss")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]


def pasting(amplitude: float) -> dict[str, torch.Tensor]:
    """An SRResNet of one channel that enlarges bilinearly and pastes a checkerboard of that amplitude on everything."""
    state = build(SRRESNET).state_dict()
    for name, value in state.items():
        if name.startswith("trunk") and name.endswith(("weight", "bias")):
            value.zero_()  # the trunk adds nothing
        elif value.ndim == 4:
            value.zero_()[..., value.shape[-2] // 2, value.shape[-1] // 2] = 1
        elif name.endswith("bias"):
            value.zero_()
        elif value.numel() == 1 and value.is_floating_point():
            value.fill_(1)  # the slope of a PReLU: straight
    sides = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    for name in (name for name in state if name.startswith("upsampling") and state[name].ndim == 4):
        state[name].copy_(torch.einsum("iy,jx->ijyx", sides, sides).reshape(4, 1, 3, 3))
    last = [name for name in state if name.startswith("upsampling") and name.endswith("bias")][-1]
    state[last].copy_(amplitude * torch.tensor([1.0, -1.0, -1.0, 1.0]))
    return state


def bare(name: str) -> dict[str, torch.Tensor]:
    """An SRCNN of one channel that gives back its bicubic input as it is, blurred, or with brightness it made up."""
    network = build(SRCNN)
    state = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    weights = [key for key in state if key.endswith("weight")]
    for key in weights:
        middle = state[key].shape[-1] // 2
        state[key][0, 0, middle, middle] = 1
    if name == "blur":
        state[weights[0]][0, 0] = 1 / state[weights[0]][0, 0].numel()
        state[weights[-1]][0, 0] = 1 / state[weights[-1]][0, 0].numel()
    elif name == "invents":
        state[next(key for key in reversed(state) if key.endswith("bias"))] += 0.6
    return state


SRRESNET = {"name": "srresnet", "channels": 1, "blocks": 1, "scale": 4}
SRCNN = {"name": "srcnn", "channels": 1, "hidden_channels": 1, "scale": 4}


class DotClassifier:
    """Finds the small bright dot that half of the drawn images have: a classifier that is good at its task."""

    classes, size, channels, threshold = ("normal", "heart_failure"), 64, 1, 0.5

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.clip((images.max((1, 2, 3)) - 0.5) / 0.4, 0, 1)


@pytest.mark.parametrize(("kind", "refused"), [("faithful", False), ("blur", True), ("invents", True)])
def test_the_gate_refuses_a_generator_that_blurs_or_invents_for_the_classifiers_sake(
    layout: Layout, kind: str, refused: bool
) -> None:
    shutil.rmtree(layout.held_out_labelled)
    layout.held_out_labelled.mkdir()
    rows = []
    for number in range(24):
        image = np.full((64, 64), 0.2, np.float32)
        if number % 2:
            image[28:36, 32:40] = 0.9
        label = DotClassifier.classes[number % 2]
        about = {"image_id": f"d{number:015x}", "patient_id": f"P{number}"}
        rows.append(LabelledRow(**about, label=label, split="test", simulated=True))
        np.save(layout.held_out_labelled / f"{rows[-1].image_id}.npy", image)
    for name in GENERATORS:
        save_weights(layout.model(name), bare(kind), {"network": SRCNN, "trained_on": []})
    lines = evaluate_classifiers._sharpened(layout, small(), DotClassifier(), rows, torch.device("cpu"))  # type: ignore[arg-type]
    write_rows(layout.sr_classification, SharpenedClassification, lines)
    params = lenient()
    params = replace(params, promote=replace(params.promote, classifier_auroc_cost=0.05, classifier_agreement=0.8))
    records = {name: read_record(layout.model(name) / "run.json") for name in GENERATORS}
    candidate = register._generator(layout, params, records)
    failed = {line.rule for line in candidate.lines if not line.holds}
    classifiers_own = {"AUROC lost by sharpening at most", "agreement with the reading of the original at least"}
    assert failed <= classifiers_own and bool(failed) == refused, [(line.rule, line.found) for line in candidate.lines]


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


def test_registration_without_the_server_says_where_it_was_sought_and_is_made_up_for(
    unrecorded: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(Unreachable, match=r"(?s)MLflow at http://127.0.0.1:9: .*Nothing that was trained is lost"):
            register.run(unrecorded, lenient())
    assert [decision.outcome for decision in register.run(unrecorded, lenient())] == ["promoted", "promoted"]


def test_registration_waits_for_a_held_database_and_otherwise_says_so_and_does_nothing_by_half(
    unrecorded: Layout,
) -> None:
    layout = unrecorded
    (layout.mlruns / "mlflow.db").unlink()
    with closing(sqlite3.connect(layout.mlruns / "mlflow.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unreachable, match="database is locked"):
            register.run(layout, lenient())
        release = threading.Timer(2, other.execute, ("ROLLBACK",))
        release.start()
        assert [decision.outcome for decision in register.run(layout, lenient())] == ["promoted", "promoted"]
        release.join()
    assert [len(registry.list_versions(layout, name)) for name in ("sr-generator", "classifier")] == [1, 1]
    runs = connect(layout).search_runs(experiment_names=["super-resolution", "classification"], output_format="list")
    assert len(runs) == len({run.info.run_name for run in runs})
