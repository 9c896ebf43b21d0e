"""The hash of a value's dimensions, which is its natural key."""

import hashlib
import json
from collections.abc import Mapping


def dimensions_hash(dimensions: Mapping[str, str]) -> str:
    """Return the SHA-256 of the dimensions as sorted JSON, so that their order does not matter."""
    canonical = json.dumps(dict(dimensions), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
