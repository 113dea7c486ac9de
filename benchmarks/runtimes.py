"""PyTorch beside ONNX Runtime, one tile of the enhancement on the processor: `python -m benchmarks.runtimes`.

Both run the same network with the same weights, on a tile of 256 x 256. The floor is that of the inference section: the
convolutions' operations at the ceiling of the precision.
"""

from __future__ import annotations

import importlib
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import contestants, drawn, machine
from benchmarks.sizes import for_processor, label
from benchmarks.timing import Method, in_turns, typical
from benchmarks.toolbox import install
from components.learning.device import half_is_fast
from components.learning.inference.tiling import TILE

FOLDER = Path(__file__).parent / ".onnx"
PACKAGES = (
    "onnx==1.23.2", "onnxruntime==1.32.0", "onnxscript==0.7.2", "onnx-ir==1.1.0", "ml-dtypes==0.6.0",
    "flatbuffers==25.12.19",
)  # fmt: skip
ROUNDS = 7
HEADER = "| network | PyTorch float32, ms | PyTorch bfloat16, ms | ONNX Runtime float32, ms | bfloat16, times faster |"
HEADER += " largest difference, bfloat16 | ONNX Runtime |"


def onnx_runtime(network: nn.Module, tile: Tensor, path: Path) -> Callable[[], Tensor]:
    """The network in ONNX Runtime, with as many threads as PyTorch has."""
    runtime: Any = importlib.import_module("onnxruntime")
    torch.onnx.export(network, (tile,), path, dynamo=True, external_data=False, verbose=False)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, values = session.get_inputs()[0].name, tile.numpy()
    return lambda: torch.from_numpy(session.run(None, {name: values})[0])


def pytorch(network: nn.Module, tile: Tensor, half: bool) -> Callable[[], Tensor]:
    """The network in PyTorch, as `components.learning.inference.tiling` runs it."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels_last = tile.contiguous(memory_format=torch.channels_last)

    def answer() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return network(channels_last).float()  # type: ignore[no-any-return]

    return answer


def _numbered(run: Callable[[], Tensor]) -> Method:
    return lambda _: run()


@torch.inference_mode()
def row(name: str, network: nn.Module, folder: Path) -> str:
    tile = drawn.low_resolution(TILE, TILE)
    runners = {"onnx": onnx_runtime(network.eval(), tile, folder / "network.onnx")}
    runners |= {"float32": pytorch(network, tile, half=False), "bfloat16": pytorch(network, tile, half=True)}
    times = in_turns({key: _numbered(run) for key, run in runners.items()}, ROUNDS, torch.device("cpu"))
    exact = runners["float32"]()
    differences = (float((runners[key]() - exact).abs().max()) for key in ("bfloat16", "onnx"))
    cells = [name, *(times[key].in_milliseconds() for key in ("float32", "bfloat16", "onnx"))]
    cells += [f"{typical(times['onnx'], times['bfloat16'])} than ONNX Runtime", *(f"{d:.1e}" for d in differences)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """The table, on standard output."""
    install(FOLDER, "onnxruntime", *PACKAGES)
    sys.path.append(str(FOLDER))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    usage = "used" if half_is_fast(torch.device("cpu")) else "not used"
    print(f"{machine.described(torch.device('cpu'))}; bfloat16 is {usage} here")
    print(HEADER)
    print("|---" * HEADER.count(" | ") + "|---|")
    sizes = {label(size.settings): size.settings for size in for_processor().images}
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in sizes.items():
            print(row(name, contestants.network(settings), Path(folder)), flush=True)


if __name__ == "__main__":
    main()
