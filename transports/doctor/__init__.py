"""Checks of a transport before the first real run; `examination.examine` runs them."""
