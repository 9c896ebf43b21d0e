"""Run Climate-REF diagnostics through their whole execution lifecycle, as a Prefect plugin."""

__version__ = "0.1.0"
