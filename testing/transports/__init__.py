"""The contract of transports; its assertions are rewritten as those of test modules are."""

import pytest

pytest.register_assert_rewrite(__name__)
