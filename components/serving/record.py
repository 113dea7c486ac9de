"""The line that an enhanced image leaves for monitoring."""

from __future__ import annotations

from components.enhance import PICTURES, EnhancedImage
from components.handover import Layout
from components.monitoring import enhancement_log, image_statistics


def record(layout: Layout, made: EnhancedImage, percentiles: tuple[float, float]) -> None:
    """Leaves it; a picture's says nothing of its pixels."""
    picture = made.source.suffix.lower() in PICTURES
    modality, found = ("OT", {}) if picture else image_statistics.observe(made.source, percentiles)
    enhancement_log.note(
        layout,
        enhancement_log.Record(
            at=enhancement_log.now(),
            modality=modality,
            rows=made.rows // made.scale,
            columns=made.columns // made.scale,
            frames=made.frames,
            model=made.model_name,
            version=made.model_version,
            seconds=round(made.seconds, 3),
            statistics=found,
        ),
    )
