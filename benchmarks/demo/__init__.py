"""The demo against a plain loop."""
