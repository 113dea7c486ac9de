"""The monitoring record of an enhanced image."""

from __future__ import annotations

from components.enhance import PICTURES, EnhancedImage
from components.handover import Layout
from components.monitoring import enhancement_log, image_statistics


def record(layout: Layout, image: EnhancedImage, percentiles: tuple[float, float]) -> None:
    """Writes the record. That of a picture has no pixel statistics."""
    picture = image.source.suffix.lower() in PICTURES
    modality, statistics = ("OT", {}) if picture else image_statistics.observe(image.source, percentiles)
    enhancement_log.note(
        layout,
        enhancement_log.Record(
            at=enhancement_log.now(),
            modality=modality,
            rows=image.rows // image.scale,
            columns=image.columns // image.scale,
            frames=image.frames,
            model=image.model_name,
            version=image.model_version,
            seconds=round(image.seconds, 3),
            statistics=statistics,
        ),
    )
