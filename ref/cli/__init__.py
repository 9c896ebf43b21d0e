"""The commands `climate-ref-prefect ref ...`: set climate-ref up for this package, and look before it solves."""
