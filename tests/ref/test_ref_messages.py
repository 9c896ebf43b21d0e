"""What the how-to says of messages of climate-ref itself is still so."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.messages import is_one_of, texts
from tests.docs.test_ref_messages import OF_CLIMATE_REF


@pytest.mark.parametrize("message", sorted(OF_CLIMATE_REF))
def test_climate_ref_says_it(message: str) -> None:
    files = [path for name in ("climate_ref", "climate_ref_core") for path in package(name).rglob("*.py")]
    candidates = [file for file in files if "alembic" not in file.parts and "migrations" not in file.parts]
    assert is_one_of(message, list(texts(candidates)))


def package(name: str) -> Path:
    found = find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
