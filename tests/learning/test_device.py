import pytest
import torch

from components.learning.device import best_device, half_is_fast, usable_precision


@pytest.mark.parametrize(("gpu", "kind"), [(True, "cuda"), (False, "cpu")])
def test_the_gpu_computes_where_there_is_one(monkeypatch: pytest.MonkeyPatch, gpu: bool, kind: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert best_device().type == kind


def test_half_precision_never_reaches_a_processor_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not half_is_fast(cpu) and usable_precision("bf16-mixed", cpu) == "32-true"


@pytest.mark.parametrize(("native", "wanted"), [(True, "bf16-mixed"), (False, "32-true")])
def test_half_precision_never_reaches_a_processor_that_imitates_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, wanted: str
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert usable_precision("bf16-mixed", torch.device("cpu")) == wanted
    assert usable_precision("32-true", torch.device("cpu")) == "32-true"
