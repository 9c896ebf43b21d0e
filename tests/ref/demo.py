"""
Show a REF that solves through this package, on made data: `make demo-ref`.

It makes a REF home in a temporary directory, solves the example provider's, ESMValTool's and ILAMB's diagnostics with
`executor = "climate_ref_prefect.ref.PrefectExecutor"`, and prints what REF's own commands say of it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.ref.coastlines import write_coastlines
from tests.ref.esmvaltool import set_up_esmvaltool
from tests.ref.home import ESMVALTOOL, EXAMPLE, ILAMB, OURS, RefHome, make_ref_home

SOLVE = ("solve", "--diagnostic", "global-mean-timeseries", "--diagnostic", "thetao-woa2023-surface")
REPORTS = (("executions", "list-groups"), ("executions", "stats"))


def main() -> None:
    """Make, solve, report; the results stay, and the last line says where."""
    directory = Path(tempfile.mkdtemp(prefix="climate-ref-demo-"))
    say("Writing small CMIP6 files of three models, and a REF that knows them")
    home = make_ref_home(directory)
    write_coastlines(Path(home.environment["CARTOPY_DATA_DIR"]))
    home.configure(OURS, ['transport = "local"'], (EXAMPLE, ESMVALTOOL, ILAMB))
    say("Setting up ESMValTool in an environment of its own: some minutes the first time")
    set_up_esmvaltool(home)
    say(f"{home.configuration / 'ref.toml'} names the executor:")
    say((home.configuration / "ref.toml").read_text(encoding="utf-8"))
    for arguments in (SOLVE, *REPORTS):
        show(home, *arguments)
    say(f"All of it lies in {directory}; the results in {home.configuration / 'results'}")


def show(home: RefHome, *arguments: str) -> None:
    """Run a `ref` command whose output a person sees as it comes."""
    say(f"$ ref {' '.join(arguments)}")
    subprocess.run(home.command(*arguments), env=home.environment, check=True)


def say(text: str) -> None:
    """Print at once, so that the order with what commands print is kept."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
