"""What `qsub`, `qstat`, `qdel` and `qselect` do, once their request has reached the server."""

import getopt
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pbs import display, errors
from tests.pbs.errors import QDEL_USAGE, QSTAT_USAGE, QSUB_USAGE, USAGE_CODE, PbsError, UsageError
from tests.pbs.jobs import Job, Substate
from tests.pbs.options import Submission, needs_standard_input, read_submission
from tests.pbs.resources import check_limits, read_request
from tests.pbs.site import Site

_PASSED_ON = ("HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL", "TZ")
_NO_SCRIPT = 1


@dataclass(frozen=True)
class Call:
    """A command as it was given, and where."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    read_input: Callable[[], str]
    """Reads the command's standard input."""


@dataclass(frozen=True)
class Reply:
    """What a command prints, and its exit code."""

    stdout: str = ""
    stderr: str = ""
    code: int = 0


def qsub(site: Site, call: Call) -> Reply:
    """Take a job."""
    try:
        text = call.read_input() if needs_standard_input(call.arguments) else None
        submission = read_submission(call.arguments, call.directory, text)
        with site.locked():
            job = _submit(site, call, submission)
    except UsageError as error:
        return Reply(stderr=f"{error}{QSUB_USAGE}", code=USAGE_CODE)
    except OSError as error:
        return Reply(stderr=f"qsub: script file:: {os.strerror(error.errno or 0)}\n", code=_NO_SCRIPT)
    except PbsError as error:
        return Reply(stderr=f"qsub: {error}\n", code=error.code)
    return Reply("" if submission.flag("z") else f"{job.job_id}\n")


def qstat(site: Site, call: Call) -> Reply:
    """Show jobs."""
    try:
        pairs, operands = getopt.getopt(list(call.arguments), "BfF:xHw")
    except getopt.GetoptError as error:
        return Reply(stderr=f"qstat: {error}\n{QSTAT_USAGE}", code=USAGE_CODE)
    options = dict(pairs)
    history = "-x" in options or "-H" in options
    with site.locked():
        if "-B" in options:
            return Reply(display.server_json(site.settings.server_name, site.queue(None).name, len(site.jobs)))
        found, complaints, code = _look_up(site, operands, history=history)
        return Reply(_shown(site, found, options, failed=bool(complaints)), complaints, code)


def qdel(site: Site, call: Call) -> Reply:
    """End jobs, whether they run or wait."""
    try:
        _, operands = getopt.getopt(list(call.arguments), "W:x")
    except getopt.GetoptError as error:
        return Reply(stderr=f"qdel: {error}\n{QDEL_USAGE}", code=USAGE_CODE)
    if not operands:
        return Reply(stderr=QDEL_USAGE, code=USAGE_CODE)
    complaints, code = "", 0
    with site.locked():
        for operand in operands:
            try:
                _delete(site, operand)
            except PbsError as error:
                complaints += f"qdel: {error} {_full_id(site, operand)}\n"
                code = error.code
        site.schedule()
    return Reply("", complaints, code)


def qselect(site: Site, call: Call) -> Reply:
    """Name the jobs that are not over, of one user or of all."""
    try:
        pairs, _ = getopt.getopt(list(call.arguments), "u:")
    except getopt.GetoptError as error:
        return Reply(stderr=f"qselect: {error}\n", code=USAGE_CODE)
    user = dict(pairs).get("-u")
    with site.locked():
        jobs = [job for job in site.jobs.values() if job.state != "F" and user in (None, job.owner)]
    return Reply("".join(f"{job.job_id}\n" for job in jobs))


def _submit(site: Site, call: Call, submission: Submission) -> Job:
    request = read_request(submission.resource_lists, site.settings)
    queue = site.queue(submission.options.get("q"))
    site.check_room(queue)
    check_limits(request, queue)
    number = site.next_number()
    job = Job(
        number=number,
        server=site.settings.server_name,
        owner=site.settings.user,
        queue=queue.name,
        submission=submission,
        request=request,
        arguments=" ".join(call.arguments),
        variables=_variables(site, call, submission, queue.name),
        output_path=_path(site, call, submission, number, "o"),
        error_path=_path(site, call, submission, number, "e"),
        home=site.settings.home,
    )
    if submission.flag("h"):
        job.hold_types = "u"
        job.change("H", Substate.HELD)
    site.add(job)
    return job


def _path(site: Site, call: Call, submission: Submission, number: int, stream: str) -> str:
    given = submission.options.get(stream)
    if given is None:
        return f"{site.settings.server_name}:{call.directory}/{submission.name}.{stream}{number}"
    host, colon, path = given.partition(":")  # a colon behind a slash belongs to the path
    name, path = (host, path) if colon and "/" not in host else ("localhost", given)
    joined = os.path.join(call.directory, path)  # noqa: PTH118 - a slash at the end means a directory, and is kept
    return f"{name}:{joined}"


def _variables(site: Site, call: Call, submission: Submission, queue: str) -> dict[str, str]:
    there = call.environment
    variables = {f"PBS_O_{name}": there[name] for name in _PASSED_ON if name in there}
    variables["PBS_O_INTERACTIVE_AUTH_METHOD"] = "resvport"
    variables["PBS_O_INTERACTIVE_ENCRYPT_METHOD"] = ""
    if submission.flag("V"):
        variables |= there
    for item in filter(None, submission.options.get("v", "").split(",")):
        name, equals, value = item.partition("=")
        variables[name] = value if equals else there.get(name, "")
    variables["PBS_O_WORKDIR"] = str(call.directory)
    variables["PBS_O_SYSTEM"] = "Linux"
    variables["PBS_O_QUEUE"] = queue
    variables["PBS_O_HOST"] = site.settings.server_name
    return variables


def _look_up(site: Site, operands: Sequence[str], *, history: bool) -> tuple[list[Job], str, int]:
    if history and not site.settings.history:
        names = [_full_id(site, operand) for operand in operands] or [""]
        return [], "".join(f"qstat: {PbsError(errors.NO_HISTORY)} {name}\n" for name in names), 0
    if not operands:
        return [job for job in site.jobs.values() if history or job.state != "F"], "", 0
    found: list[Job] = []
    complaints, code = "", 0
    for operand in operands:
        try:
            found.append(_visible(site, operand, history=history))
        except PbsError as error:
            complaints += _complaint(error, _full_id(site, operand))
            code = error.code
    return found, complaints, code


def _visible(site: Site, operand: str, *, history: bool) -> Job:
    if not operand[:1].isdigit():
        raise PbsError(errors.UNKNOWN_QUEUE)
    job = site.find(operand)
    if job.state == "F" and not history:
        raise PbsError(errors.FINISHED_JOB)
    return job


def _complaint(error: PbsError, job_id: str) -> str:
    if error.number == errors.FINISHED_JOB:
        return f"qstat: {job_id} {error}, use -x or -H to obtain historical job information\n"
    return f"qstat: {error} {job_id}\n"


def _shown(site: Site, jobs: Sequence[Job], options: Mapping[str, str], *, failed: bool) -> str:
    if "-f" not in options:
        return display.TABLE_HEADER + "".join(map(display.table_row, jobs)) if jobs else ""
    if options.get("-F") != "json":
        return "".join(map(display.full, jobs))
    if failed and not jobs and site.settings.empty_json:
        return ""
    return display.as_json(jobs, site.settings.server_name)


def _delete(site: Site, operand: str) -> None:
    job = site.find(operand)
    if job.state == "F":
        raise PbsError(errors.FINISHED_JOB)
    site.delete(job, f"{site.settings.user}@{site.settings.server_name}")


def _full_id(site: Site, operand: str) -> str:
    return operand if "." in operand or not operand.isdigit() else f"{operand}.{site.settings.server_name}"
