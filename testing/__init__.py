"""
Suites that hold anybody's own transport or recorder to what each must do; they need pytest (the extra `testing`).

`transports.contract` and `recorder_contract` are the doors.
"""
