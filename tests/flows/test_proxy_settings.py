"""Proxies in the environment: Prefect's server on the loopback interface is never asked for through one."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.server.proxy_settings import avoid_proxies, proxy_in_use, refuse_unusable_proxy
from tests.flows.coordinator_processes import command, run_command
from tests.flows.temporary_site import PROVIDER, Site

ROOT = Path(__file__).resolve().parents[2]
SILENT = "http://127.0.0.1:9"
"""Nothing listens there."""
SOCKS = "socks5://user:s3cr3t@127.0.0.1:9"
Setter = Callable[[Mapping[str, str]], None]


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> Setter:
    """Set proxies, and none but these; they are as they were at the end."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def set_all(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


ENVIRONMENTS: list[dict[str, str]] = [
    {"http_proxy": SILENT},
    {"HTTP_PROXY": SILENT, "no_proxy": "localhost,.site.edu"},
    {"https_proxy": SILENT, "ALL_PROXY": SILENT, "NO_PROXY": "10.0.0.0/8"},
    {"ALL_PROXY": SOCKS},
    {"all_proxy": "socks4://127.0.0.1:9", "http_proxy": "socks5h://127.0.0.1:9"},
    {"http_proxy": "proxy.site.edu:port"},
    {"http_proxy": SILENT, "no_proxy": "[::1], ::1/128, fe80::/10, é.site.edu, *.site.edu"},
    {"ALL_PROXY": SOCKS, "no_proxy": "*"},
]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "api_url", [None, "http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://127.9.9.9/api"]
)
def test_a_server_on_the_loopback_interface_is_asked_directly(
    proxies: Setter, environment: Mapping[str, str], api_url: str | None
) -> None:
    proxies(environment)
    avoid_proxies(api_url)
    with httpx.Client() as client:
        url = api_url or "http://127.0.0.1:4200/api"
        assert client._transport_for_url(httpx.URL(url)) is client._transport
    assert proxy_in_use(url) is None


def test_other_addresses_are_asked_for_through_the_proxy_as_before(proxies: Setter) -> None:
    proxies({"http_proxy": SILENT, "no_proxy": ".site.edu"})
    avoid_proxies(None)
    assert proxy_in_use("http://prefect.site.edu/api") is None
    assert proxy_in_use("http://elsewhere.org/api") == f"{SILENT} (http_proxy)"
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL("http://elsewhere.org")) is not client._transport


@pytest.mark.parametrize("environment", [{"ALL_PROXY": SOCKS}, {"http_proxy": "ftp://x"}, {"HTTP_PROXY": "proxy:port"}])
def test_a_proxy_that_cannot_be_used_is_refused_by_name_but_without_its_password(
    proxies: Setter, environment: Mapping[str, str]
) -> None:
    proxies(environment)
    avoid_proxies("http://elsewhere.org/api")
    with pytest.raises(BadInputError, match=next(iter(environment))) as refused:
        refuse_unusable_proxy("http://elsewhere.org/api")
    assert "s3cr3t" not in str(refused.value)
    refuse_unusable_proxy("http://127.0.0.1:4200/api")


def test_one_that_is_not_needed_is_not_refused(proxies: Setter) -> None:
    proxies({"ALL_PROXY": SOCKS, "no_proxy": "elsewhere.org"})
    avoid_proxies("http://elsewhere.org/api")
    refuse_unusable_proxy("http://elsewhere.org/api")
    httpx.Client().close()


def test_a_server_that_does_not_answer_is_reported_with_its_proxy(site: Site) -> None:
    site.add_models("ModelA")
    more = {"http_proxy": SILENT, "PREFECT_API_URL": "http://prefect.invalid/api", "PREFECT_CLIENT_MAX_RETRIES": "0"}
    ended = run_command("solve", "--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "good", more=more)
    assert ended.code == 1
    assert f"through the proxy {SILENT} (http_proxy)" in ended.errors
    assert "Traceback" not in ended.errors


@pytest.mark.slow
def test_a_solve_with_its_own_server_among_proxies_and_scripts_of_the_user(
    site: Site, tmp_path: Path, proxies: Setter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's server is a Python of its own, and so are those that it starts."""
    site.add_models("ModelA")
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("calendar", "json", "prefect", "queue", "random", "sqlalchemy", "typing_extensions"):
        (mine / f"{name}.py").write_text("raise SystemExit('a script of the user was run')", encoding="utf-8")
    monkeypatch.chdir(mine)
    proxies({"http_proxy": SILENT, "ALL_PROXY": SOCKS, "no_proxy": "[::1],.site.edu"})
    options = ("--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "good")
    with command(site, "solve", *options, without=("PREFECT_API_URL",)) as solve:
        assert solve.wait(180) == 0, solve.said
    assert "1 succeeded, 0 failed" in solve.said
