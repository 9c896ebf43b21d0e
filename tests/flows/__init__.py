"""Tests of the top floor: what happens in which order."""
