"""Checks of a transport before the first real run; `check_transport.check_transport` runs them."""
