"""The one error of a step that cannot go on."""

from __future__ import annotations


class StepError(Exception):
    """A step cannot go on; the message says what was expected, what came, and what to do about it."""
