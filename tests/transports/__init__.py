"""Tests of the transports; the contract's assertions are rewritten as those of test modules are."""

import pytest

pytest.register_assert_rewrite("tests.transports.contract", "tests.transports.driving")
