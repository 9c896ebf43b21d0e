"""The natural key of what is measured: a hash of its dimensions."""

import hashlib
import json
from collections.abc import Mapping


def dimensions_hash(dimensions: Mapping[str, str]) -> str:
    """Return the SHA-256 of the dimensions as sorted JSON: the same in whatever order they are given."""
    canonical = json.dumps(dict(dimensions), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
