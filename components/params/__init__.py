"""Every setting that decides a result: reads and checks `params.yaml` and hands it to a step."""

from components.params.loading import PROFILES, ParamsError, load, load_here, parse, scale_of
from components.params.steps import Evaluate, Ingest, Params, Prepare, Promote, Simulate, Split, Validate

__all__ = [
    "PROFILES",
    "Evaluate",
    "Ingest",
    "Params",
    "ParamsError",
    "Prepare",
    "Promote",
    "Simulate",
    "Split",
    "Validate",
    "load",
    "load_here",
    "parse",
    "scale_of",
]
