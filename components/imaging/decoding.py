"""What every reader of images shares: how large one may be, what broken files raise, and how that is told."""

from __future__ import annotations

import struct
import zlib

from pydicom.errors import BytesLengthException

MAX_VALUES = 2**28  # 1 GiB of float32; a header that claims more is refused before anything is allocated
# what pydicom and its plugins raise on files that break the standard
BROKEN = (
    ValueError, TypeError, AttributeError, KeyError, IndexError, NotImplementedError, RuntimeError, EOFError, OSError,
    OverflowError, struct.error, zlib.error, BytesLengthException,
)  # fmt: skip


class UnreadableImage(Exception):
    """A file that holds no image this program can read. `name` is the file's, `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason
