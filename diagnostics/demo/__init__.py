"""The demonstration provider: four small diagnostics of air temperature, on public CMIP6 sample data."""
