"""OpenPBS's error numbers and their words; a command exits with the number's last eight bits."""

UNKNOWN_JOB = 15001
BAD_VALUE = 15014
UNKNOWN_QUEUE = 15018
QUEUE_DISABLED = 15021
UNKNOWN_RESOURCE = 15035
OVER_RESOURCE_LIMIT = 15036
NOT_RERUNNABLE = 15038
SERVER_SHUTTING_DOWN = 15060
NOT_IN_SELECT = 15108
SELECT_MIXED = 15109
HOOK_ERROR = 15136
FINISHED_JOB = 15139
NO_HISTORY = 15140
OVER_JOB_LIMIT = 15142

_WORDS = {
    UNKNOWN_JOB: "Unknown Job Id",
    BAD_VALUE: "Illegal attribute or resource value",
    UNKNOWN_QUEUE: "Unknown queue",
    QUEUE_DISABLED: "Queue is not enabled",
    UNKNOWN_RESOURCE: "Unknown resource",
    OVER_RESOURCE_LIMIT: "Job violates queue and/or server resource limits",
    NOT_RERUNNABLE: "job is not rerunnable",
    SERVER_SHUTTING_DOWN: "Request not allowed: Server shutting down",
    NOT_IN_SELECT: 'Resource invalid in "select" specification:',
    SELECT_MIXED: '"-lresource=" cannot be used with "select" or "place", resource is:',
    FINISHED_JOB: "Job has finished",
    NO_HISTORY: "PBS is not configured to maintain job history",
}
USAGE_CODE = 2
QSUB_USAGE = """\
usage: qsub [-a date_time] [-A account_string] [-c interval]
	[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
	[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
	[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
	[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
	[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
"""
QDEL_USAGE = "usage:\n\tqdel [-W force|suppress_email=X] [-x] job_identifier...\n\tqdel --version\n"
QSTAT_USAGE = "usage:\n\tqstat [-f] [-x] [-F format] [ job_identifier... | destination... ]\n\tqstat --version\n"


class PbsError(Exception):
    """The server refuses a request."""

    def __init__(self, number: int, detail: str = "", words: str | None = None) -> None:
        self.number = number
        self.words = words if words is not None else _WORDS[number]
        super().__init__(f"{self.words} {detail}".rstrip())

    @property
    def code(self) -> int:
        """The exit code of the command."""
        return self.number & 0xFF


class UsageError(Exception):
    """The options make no sense; says why before the usage is printed."""
