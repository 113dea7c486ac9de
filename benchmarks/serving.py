"""The service under load, beside MLflow's own server with the same model: `python -m benchmarks.serving`.

Run it where a champion is registered (after `make pipeline`), on a quiet machine. Eight senders at once bring distinct
images of 256 x 256, 16 bits, and fetch what is made of them; both sides are measured one after the other, in turns.
MLflow's server gets arrays as JSON, made before the clock starts, and its answers are not parsed: only its own work is
timed. Ours gets DICOM files, keeps each safe on disk, and gives derived DICOM images.

The floor is the network alone: its seconds an image, in one process, with nothing around it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
import yaml
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from benchmarks import drawn, machine
from benchmarks.servers import HOST, free_port, started
from components.adapters import registry
from components.handover import Layout
from components.learning.inference.sharpening import sharpen_grey
from components.serving.access import new_token

FULL = 65535
JSON = {"Content-Type": "application/json"}
Bring = Callable[[httpx.Client, int], None]


@dataclass(frozen=True)
class Load:
    """The load test of one server."""

    seconds: float
    latencies: list[float]  # from the first byte sent to the last byte fetched
    peak_mib: float  # of the server's processes together

    def line(self, name: str) -> str:
        p50, p99 = np.percentile(self.latencies, (50, 99))
        rate = len(self.latencies) / self.seconds
        return f"| {name} | {rate:.2f} | {p50:.2f} | {p99:.2f} | {self.peak_mib:.0f} |"


def put_under_load(
    url: str, bring: Bring, images: int, senders: int, process: psutil.Process, headers: dict[str, str]
) -> Load:
    """Sends all images. Every sender takes the next one as soon as its last one is back."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            peak[0] = max(peak[0], _resident(process))

    def timed(number: int) -> float:
        begun = time.perf_counter()
        with httpx.Client(base_url=url, timeout=600, headers=headers) as caller:
            bring(caller, number)
        return time.perf_counter() - begun

    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.perf_counter()
    with ThreadPoolExecutor(senders) as pool:
        latencies = list(pool.map(timed, range(images)))
    seconds = time.perf_counter() - begun
    done.set()
    watcher.join()
    return Load(seconds, latencies, peak[0])


def _resident(process: psutil.Process) -> float:
    """The memory of the process and its children in MiB. Shared memory counts once."""
    mib = 0.0
    for member in (process, *process.children(recursive=True)):
        try:
            mib += member.memory_full_info().pss / 2**20
        except psutil.NoSuchProcess:
            continue
    return mib


def ours(folder: Path, files: list[bytes], senders: int) -> Load:
    token, digest = new_token("benchmark")
    settings = yaml.safe_load((Path(__file__).parents[1] / "infra" / "serve.yaml").read_text(encoding="utf-8"))
    port = free_port()
    settings["node"]["port"] = free_port()
    settings["http"] |= {"port": port, "tokens": [{"name": digest.name, "sha256": digest.sha256}]}
    settings["spool"] |= {"folder": tempfile.mkdtemp(dir=folder), "keep_free_gib": 0.0}
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def bring(caller: httpx.Client, number: int) -> None:
        view = caller.post("/jobs", content=files[number]).raise_for_status().json()
        while view["state"] != "ready":
            if view["state"] == "failed":
                raise SystemExit(view["reason"])
            view = caller.get(f"/jobs/{view['id']}", params={"wait": 60}).raise_for_status().json()
        caller.get(f"/jobs/{view['id']}/image").raise_for_status()

    url, headers = f"http://{HOST}:{port}", {"Authorization": f"Bearer {token}"}
    command = [sys.executable, "-m", "flows.cli", "serve", "--settings", str(path)]
    with started(command, f"{url}/ready", folder) as process:
        return put_under_load(url, bring, len(files), senders, process, headers)


def mlflows(folder: Path, bodies: list[bytes], senders: int, workers: int) -> Load:
    port = free_port()
    url = f"http://{HOST}:{port}"

    def bring(caller: httpx.Client, number: int) -> None:
        caller.post("/invocations", content=bodies[number]).raise_for_status()

    uri = f"models:/{registry.GENERATOR}@{registry.CHAMPION}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    command += ["--host", HOST, "--port", str(port), "--workers", str(workers)]
    with started(command, f"{url}/ping", folder) as process:
        bring(httpx.Client(base_url=url, timeout=600, headers=JSON), 0)  # the first call is slower
        return put_under_load(url, bring, len(bodies), senders, process, JSON)


def dicom_file(stored: NDArray[np.uint16]) -> bytes:
    """A CT image as a scanner writes it, of nobody."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, generate_uid()
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = (generate_uid() for _ in range(3))
    image.Modality, image.PatientName, image.PatientID, image.InstanceNumber = "CT", "", "", 1
    image.PixelSpacing, image.SliceThickness = [0.5, 0.5], 5
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    image.RescaleIntercept, image.RescaleSlope = 0, 1
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.Rows, image.Columns = stored.shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelData = stored.tobytes()
    stream = io.BytesIO()
    image.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--senders", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="of MLflow's server")
    options = parser.parse_args()
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{Path('mlruns/mlflow.db').resolve()}")
    generator = registry.load_generator(Layout())
    side = options.side
    stored = [(drawn.image(side, side, seed) * FULL).astype(np.uint16) for seed in range(options.images)]
    floor = []
    for image in stored[:8]:
        begun = time.perf_counter()
        list(sharpen_grey(image, generator))
        floor.append(time.perf_counter() - begun)
    print(machine.described(torch.device("cpu")))
    print(f"the network alone: {1 / float(np.median(floor)):.2f} images a second")
    bodies = [json.dumps({"inputs": (image[None, None] / FULL).tolist()}).encode() for image in stored]
    print("| server | images a second | p50, s | p99, s | memory, MiB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(options.rounds):
            files = [dicom_file(image) for image in stored]  # other instances each time: what is known is not done
            print(ours(folder, files, options.senders).line("medsr serve"), flush=True)
            for workers in options.workers:
                load = mlflows(folder, bodies, options.senders, workers)
                print(load.line(f"mlflow models serve, {workers} worker(s)"), flush=True)


if __name__ == "__main__":
    main()
