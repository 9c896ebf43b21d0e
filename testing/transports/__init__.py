"""The contract of transports; its assertions are rewritten as those of test modules are."""

from typing import Final

import pytest

_WITH_ASSERTIONS: Final = ("contract_driver", "endings", "isolation", "port", "protocol", "stopping")
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _WITH_ASSERTIONS))
