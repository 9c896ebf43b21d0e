"""A third-party transport: installed beside this package, it is used like ours; a broken one affects no other."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.distributions import install
from tests.docs.pages import DOCS, examples
from tests.flows.coordinator_processes import Ended, run_command
from tests.flows.temporary_site import PROVIDER, Site, environment

pytestmark = pytest.mark.slow
GROUP = "climate_ref_prefect.transports"
PAGE = {example.file: example.code for example in examples(DOCS / "how-to" / "write-a-transport.md")}
OPEN = """
from typing import Literal
from acme_transport import AcmeTransport

class OpenTransport(AcmeTransport):
    kind: Literal["open"] = "open"
    traits = AcmeTransport.traits.model_copy(update={"fields_in_forms": True})
"""
REGISTERED = {
    "acme": "acme_transport:AcmeTransport",
    "open": "open_transport:OpenTransport",
    "torn": "torn_transport:Torn",
    "local": "acme_transport:AcmeTransport",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Install the transport of the page, another one, one that cannot be imported, and one that has a name of ours."""
    modules = {
        "acme_transport": str(PAGE["acme_transport.py"]),
        "open_transport": OPEN,
        "torn_transport": "import no_such_client",
    }
    directory = install(tmp_path_factory.mktemp("site"), "acme-transports", modules, {GROUP: REGISTERED})
    return {"PYTHONPATH": os.pathsep.join([str(directory), environment()["PYTHONPATH"]])}


def run_python(code: str, more: Mapping[str, str]) -> Ended:
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env={**environment(), **more}, capture_output=True, text=True, check=False)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def options(site: Site, transport: str) -> list[str]:
    return ["--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "good", "--transport", transport]


@pytest.mark.parametrize("transport", ["acme", "mysite"])
def test_the_command_solves_on_it_by_its_name_and_by_a_profile(
    site: Site, installed: Mapping[str, str], transport: str
) -> None:
    site.add_models("ModelA")
    site.configure(sites=site.home / "sites")
    (site.home / "sites").mkdir(parents=True)
    (site.home / "sites" / "mysite.yaml").write_text("{kind: acme, places: 1}")
    ended = run_command("solve", *options(site, transport), more=installed)
    assert ended.code == 0, ended.output + ended.errors
    assert "1 succeeded, 0 failed" in ended.output
    assert site.query("SELECT transport, successful FROM execution") == [("acme", 1)]
    site.assert_settled()


def test_python_solves_on_it(site: Site, installed: Mapping[str, str]) -> None:
    site.add_models("ModelA")
    code = f"""
from acme_transport import AcmeTransport
from climate_ref_prefect.flows.server.local_server import local_server
from climate_ref_prefect.flows.settings import Settings
if __name__ == "__main__":
    with local_server(Settings().home_directory):
        from climate_ref_prefect.flows.solve import solve
        report = solve({str(site.data)!r}, [{PROVIDER!r}], ["good"], AcmeTransport(places=1))
    print([(row.label, row.transport, row.successful) for row in report.executions])
"""
    ended = run_python(code, installed)
    assert ended.code == 0, ended.output + ended.errors
    assert "[('flows/good/ModelA', 'acme', True)]" in ended.output


def test_its_fields_are_shown_in_a_form_only_if_its_traits_allow_it(installed: Mapping[str, str]) -> None:
    code = """
import json
from climate_ref_prefect.flows.solve import solve
print(json.dumps(solve.parameters.model_dump()))
"""
    ended = run_python(code, installed)
    schema = json.loads(ended.output.splitlines()[-1])
    choice = schema["properties"]["transport"]
    shown = [one["$ref"].rpartition("/")[2] for one in choice["oneOf"]]
    assert shown == ["LocalTransport", "InlineTransport", "OpenTransport", "Site"]
    assert choice["discriminator"]["mapping"].keys() == {"local", "inline", "open", "site"}
    assert "places" in schema["definitions"]["OpenTransport"]["properties"]


class TestBroken:
    """One that cannot be imported is named, with the reason."""

    CANNOT = "which acme-transports has registered, cannot be used:"
    WORDS = f"The transport `torn`, {CANNOT} torn_transport:Torn cannot be imported: "

    def test_where_it_is_asked_for(self, site: Site, installed: Mapping[str, str], tmp_path: Path) -> None:
        profile = tmp_path / "site.yaml"
        profile.write_text("kind: torn")
        ended = run_command("plan", *options(site, str(profile)), more=installed)
        assert ended.code == 2
        assert f"{self.WORDS}ModuleNotFoundError: No module named 'no_such_client'." in ended.errors
        assert "There are acme, inline, local, open, pbs, slurm." in ended.errors

    def test_where_all_are_listed(self, site: Site, installed: Mapping[str, str]) -> None:
        ended = run_command("plan", *options(site, "nowhere"), more=installed)
        assert ended.code == 2
        assert "it is `acme`, `inline`, `local`, `open`, or a site profile" in ended.errors
        assert self.WORDS in ended.errors

    def test_by_the_doctor_which_goes_on_with_ours(self, site: Site, installed: Mapping[str, str]) -> None:
        ended = run_command("doctor", "--transport", "local", "--provider", PROVIDER, more=installed)
        assert ended.code == 0, ended.output
        assert self.WORDS in ended.output
        assert f"The transport `local`, {self.CANNOT} climate-ref-prefect itself has" in ended.output
        assert "`local` runs executions on this machine" in ended.output


def test_the_shipped_suite_holds_it_to_the_contract(installed: Mapping[str, str], tmp_path: Path) -> None:
    """In a directory of its own, which has nothing of this checkout but what is installed."""
    for name in ("conftest.py", "test_acme.py"):
        (tmp_path / name).write_text(str(PAGE[name]))
    path = installed["PYTHONPATH"].split(os.pathsep)[0]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", str(tmp_path)]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-4000:]
    assert " passed" in ended.stdout
