"""Providers whose diagnostics, or whose imports, end in every way there is."""
