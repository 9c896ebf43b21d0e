"""Providers for tests: their diagnostics, or their imports, end in every possible way."""
