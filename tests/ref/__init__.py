"""Tests of climate-ref on this package."""
