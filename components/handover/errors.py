"""The error that stops a step."""

from __future__ import annotations


class StepError(Exception):
    """A step cannot go on; the message says what was expected, what was found, and what to do."""
