"""
Contract suites for transports and recorders of this package and of others. They need pytest (the extra `testing`).

`transports.contract` and `recorder_contract` are the entry points.
"""
