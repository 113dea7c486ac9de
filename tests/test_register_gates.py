"""What the policy keeps from serving: pasted texture, blur and inventions, and who fails its floors."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from components import evaluate, evaluate_classifiers, register
from components.adapters import registry
from components.adapters.tracking import connect
from components.handover import GENERATORS, LabelledRow, Layout, read_record, sha256_of, write_record, write_rows
from components.handover.classifier_rows import SharpenedClassification
from components.learning.models import build
from components.learning.weights import save_weights
from components.promotion import ledger
from tests.evaluated import evaluated, layout, recorded
from tests.settings import lenient, small

__all__ = ["evaluated", "layout", "recorded"]  # fixtures

SRRESNET = {"name": "srresnet", "channels": 1, "blocks": 1, "scale": 4}
SRCNN = {"name": "srcnn", "channels": 1, "hidden_channels": 1, "scale": 4}


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


class DotClassifier:
    """Finds the small bright dot that half of the drawn images have; a classifier that is good at its task."""

    classes, size, channels, threshold = ("normal", "heart_failure"), 64, 1, 0.5

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.clip((images.max((1, 2, 3)) - 0.5) / 0.4, 0, 1)


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
