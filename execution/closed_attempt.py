"""The document `closed.json`, by which a coordinator gives an attempt up."""

from climate_ref_prefect.diagnostics.base_models import Document


class Closed(Document):
    """Says that the coordinator has given an attempt up: an outcome that comes later is ignored."""

    reason: str
    closed_at: float
    """Seconds since the epoch."""
