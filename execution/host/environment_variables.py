"""
Environment variables of the programs that this package starts: one table says which are kept, set or left out, and why.

The first rule that names a variable applies. A variable without a rule is kept. `docs/reference/environment.md` shows
the table.
"""

import os
import shlex
from collections.abc import Mapping, MutableMapping, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from climate_ref_prefect.execution.host.batch_job_id import JOB_ID, JOB_NODE
from climate_ref_prefect.execution.host.python_search_path import (
    IMPORT_LAST,
    USERS_PYTHONPATH,
    search_path_of_interpreter,
    search_path_of_job,
)

Treatment = Literal["kept", "set", "left out"]
KEPT: Final = "kept"
SET: Final = "set"
LEFT_OUT: Final = "left out"


class Rule(NamedTuple):
    """How some variables are treated, by kind of program, and why."""

    variables: tuple[str, ...]
    """Names of the variables; `*` stands for any text."""
    server: Treatment
    """Treatment in the Prefect server that this package starts."""
    provider: Treatment
    """Treatment in provider servers, and so in diagnostics and in the programs that these start."""
    scheduler: Treatment
    """Treatment in the commands of a batch scheduler. SLURM jobs inherit this environment."""
    why: str


_LANGUAGE: Final = (
    *("LANG", "LANGUAGE", "LC_ALL", "LC_ADDRESS", "LC_COLLATE", "LC_CTYPE", "LC_IDENTIFICATION", "LC_MEASUREMENT"),
    *("LC_MESSAGES", "LC_MONETARY", "LC_NAME", "LC_NUMERIC", "LC_PAPER", "LC_TELEPHONE", "LC_TIME", "TZ"),
    *("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE"),
)
_THREADS: Final = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)
_WITHOUT_DISPLAY: Final = {"MPLBACKEND": "Agg", "QT_QPA_PLATFORM": "offscreen"}
NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

TABLE: Final[tuple[Rule, ...]] = (
    Rule(
        ("PYTHONPATH", IMPORT_LAST, USERS_PYTHONPATH),
        *(SET, SET, SET),
        "the current directory comes after everything that is installed; what a diagnostic starts gets the user's own",
    ),
    Rule(
        ("CLIMATE_REF_PREFECT_*",),
        *(LEFT_OUT, LEFT_OUT, LEFT_OUT),
        "places of the coordinator, and the URL of its database, which may hold a password",
    ),
    Rule(
        ("REF_DATABASE_URL",),
        *(LEFT_OUT, LEFT_OUT, LEFT_OUT),
        "the URL of climate-ref's database, which may hold a password; only the coordinator asks it",
    ),
    Rule(
        ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"),
        *(LEFT_OUT, LEFT_OUT, LEFT_OUT),
        "address, key, password and profile of another Prefect server",
    ),
    Rule(("PREFECT_HOME",), SET, LEFT_OUT, LEFT_OUT, "our server's database lies in the state directory"),
    Rule(
        ("PREFECT_SERVER_API_AUTH_STRING",),
        *(KEPT, LEFT_OUT, LEFT_OUT),
        "the password of `climate-ref-prefect server`; the server that a solve starts has one of its own",
    ),
    Rule(
        ("PREFECT_*",),
        *(KEPT, LEFT_OUT, LEFT_OUT),
        "settings of Prefect, secrets among them; our server has values of its own for some",
    ),
    Rule(
        (
            *("PGPASS*", "PGSERVICE*", "PGSSL*", "PGHOST*", "PGPORT", "PGDATABASE", "PGUSER", "PGOPTIONS"),
            *("PGKRBSRVNAME", "PGGSS*", "PGREQUIRE*", "PGCHANNELBINDING", "PGSYSCONFDIR"),
        ),
        *(KEPT, LEFT_OUT, LEFT_OUT),
        "how the store's PostgreSQL is reached, the password included",
    ),
    Rule(
        ("DASK_*TLS*", "DASK_INTERNAL_INHERIT_CONFIG"),
        *(LEFT_OUT, LEFT_OUT, LEFT_OUT),
        "keys for Dask, and settings that may hold some",
    ),
    Rule(NO_PROXY, LEFT_OUT, SET, SET, "the loopback interface is never asked for through a proxy"),
    Rule(
        ("*_proxy", "*_PROXY"),
        *(LEFT_OUT, KEPT, KEPT),
        "our server asks for nothing outside; a diagnostic may fetch data through a proxy",
    ),
    Rule(
        _LANGUAGE,
        *(KEPT, KEPT, SET),
        "language, time zone and encoding of a diagnostic are the user's, here and in a job, whose script sets or "
        "unsets each; the scheduler's words are read in English",
    ),
    Rule(
        ("PYTHONSAFEPATH",),
        *(SET, KEPT, KEPT),
        "the server starts Pythons that must not look into the current directory; ours are started with `-P`",
    ),
    Rule(
        (JOB_ID, JOB_NODE),
        *(LEFT_OUT, KEPT, LEFT_OUT),
        "the batch job that an execution is part of; the script of each job sets them",
    ),
    Rule(("PYTHONUNBUFFERED",), KEPT, SET, KEPT, "what a diagnostic has printed is in its log when it is killed"),
    Rule(("PYTHONINSPECT",), *(LEFT_OUT, LEFT_OUT, LEFT_OUT), "a Python that waits for input at its end never ends"),
    Rule(_THREADS, KEPT, SET, KEPT, "as many threads as the hint has processors"),
    Rule(
        ("DISPLAY", "WAYLAND_*", "XAUTHORITY"),
        *(LEFT_OUT, LEFT_OUT, LEFT_OUT),
        "a window of a diagnostic would not be seen, and no program must wait for a display that is gone",
    ),
    Rule(
        tuple(_WITHOUT_DISPLAY),
        *(KEPT, SET, KEPT),
        "plots are drawn without a display; what a notebook sets here works in notebooks alone",
    ),
    Rule(
        ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"),
        *(KEPT, KEPT, KEPT),
        "which SLURM is asked, and by what right",
    ),
    Rule(
        ("SBATCH_ACCOUNT", "SBATCH_WCKEY", "SBATCH_CLUSTERS"),
        *(KEPT, KEPT, KEPT),
        "the user's choice of what is charged, and where; left out where the job script has the option",
    ),
    Rule(
        ("SBATCH_*", "SALLOC_*", "SLURM_*", "SQUEUE_*", "SACCT_*", "SCANCEL_*", "SCONTROL_*"),
        *(KEPT, KEPT, LEFT_OUT),
        "they would overrule the job script, change what commands answer, or give the job the size of the one that "
        "the coordinator runs in",
    ),
    Rule(
        (
            *("PBS_O_*", "PBS_JOB*", "PBS_NODE*", "PBS_ENVIRONMENT", "PBS_QUEUE", "PBS_TASKNUM", "PBS_MOMPORT"),
            *("PBS_TMPDIR", "PBS_DPREFIX", "PBS_ACCOUNT", "QSUB_*", "QSTAT_*", "QDEL_*"),
        ),
        *(KEPT, KEPT, LEFT_OUT),
        "the same for PBS: `PBS_DPREFIX` would turn its directives into comments",
    ),
)


def treatment(name: str, of: Literal["server", "provider", "scheduler"]) -> Treatment:
    """Return how a variable is treated in one kind of program."""
    for rule in TABLE:
        if any(fnmatchcase(name, pattern) for pattern in rule.variables):
            found: Treatment = getattr(rule, of)
            return found
    return KEPT


def environment_of_prefect_server(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a local Prefect server with these settings."""
    path = {"PYTHONPATH": search_path_of_job()["PYTHONPATH"]}
    return {**_kept("server"), **path, "PYTHONSAFEPATH": "1", **settings}


def environment_of_provider(cpu: int) -> dict[str, str]:
    """Return the environment of a provider server whose executions may use `cpu` processors."""
    return {
        **_kept("provider"),
        **loopback_exemption(os.environ),
        **search_path_of_interpreter(),
        **_WITHOUT_DISPLAY,
        **dict.fromkeys(_THREADS, str(cpu)),
        "PYTHONUNBUFFERED": "1",
    }


def environment_of_scheduler(left_out: Sequence[str] = ()) -> dict[str, str]:
    """
    Return the environment of a command of a batch scheduler.

    Parameters
    ----------
    left_out
        Variables that the scheduler leaves out beside those of the table. `*` stands for anything.
    """
    kept = {
        name: value
        for name, value in _kept("scheduler").items()
        if not any(fnmatchcase(name, pattern) for pattern in left_out)
    }
    return {**kept, **loopback_exemption(os.environ), **_without_empty(search_path_of_job()), "LC_ALL": "C"}


def lines_for_job_script() -> list[str]:
    """Return shell lines that set the user's language and search path in a job, whatever its scheduler passes on."""
    users = {name: os.environ[name] for name in _LANGUAGE if name in os.environ}
    exported = _without_empty({**users, **search_path_of_job()})
    unset = [name for name in (*_LANGUAGE, "PYTHONPATH", IMPORT_LAST) if name not in exported]
    return [f"unset {' '.join(unset)}", *(f"export {name}={shlex.quote(value)}" for name, value in exported.items())]


def loopback_exemption(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `no_proxy`, in both spellings, so that programs reach the loopback interface without a proxy."""
    return {name: _with_loopback(environment, name) for name in NO_PROXY}


def exempt_loopback(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have this process, and the programs that it starts, reach the loopback interface without a proxy."""
    environment.update(loopback_exemption(environment))


def no_proxy_entries(environment: Mapping[str, str], name: str) -> list[str]:
    """Return the hosts that one spelling of `no_proxy` lists. If it is not set, the other spelling applies."""
    other = next(spelling for spelling in NO_PROXY if spelling != name)
    given = environment.get(name, environment.get(other, ""))
    return [entry.strip() for entry in given.split(",") if entry.strip()]


def _with_loopback(environment: Mapping[str, str], name: str) -> str:
    entries = no_proxy_entries(environment, name)
    if entries == ["*"]:
        return "*"
    # Patterns of URLs are for Prefect's client in this process (`flows/server/proxy_settings.py`).
    entries = [entry for entry in entries if not entry.endswith("://")]
    return ",".join([*entries, *(entry for entry in _LOOPBACK if entry not in entries)])


def _kept(of: Literal["server", "provider", "scheduler"]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if treatment(name, of) == KEPT}


def _without_empty(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if value}
