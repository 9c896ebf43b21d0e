"""
Contract suites for transports and recorders of this package and of others. They need pytest (the extra `testing`).

`transports.contract` and `recorders.contract` are the entry points.
"""
