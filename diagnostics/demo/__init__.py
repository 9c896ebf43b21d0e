"""The demo provider: small diagnostics of air temperature on real CMIP6 data."""
