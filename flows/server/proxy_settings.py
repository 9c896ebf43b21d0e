"""Proxy settings for Prefect's server: no proxy for the loopback interface, and errors that name the proxy in use."""

import ipaddress
import os
import socket
import urllib.request
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.host.environment_variables import NO_PROXY, exempt_loopback, no_proxy_entries

_OF_HTTPX: Final = ("http", "https", "all")
"""The proxy schemes for which Prefect's client opens a connection as soon as it is created."""


def avoid_proxies(api_url: str | None) -> None:
    """
    Have this process reach a Prefect server on the loopback interface without a proxy.

    Proxies for other addresses stay unchanged. Entries of `no_proxy` that Prefect's client cannot parse, and at which
    it would always fail, are removed; so is, for that client only, a proxy that it cannot use and does not need.

    Parameters
    ----------
    api_url
        URL of the server; None for one that Prefect starts itself, on the loopback interface.
    """
    exempt_loopback()
    host = (urlsplit(api_url).hostname or "") if api_url else ""
    here = not host or _is_loopback(host)
    needed = None if here else _scheme_in_use(api_url or "")
    more = [*([host] if here else ()), *(f"{scheme}://" for scheme in _unusable() if scheme != needed)]
    for name in NO_PROXY:
        entries = no_proxy_entries(os.environ, name)
        if entries != ["*"]:
            readable = [_as_httpx_reads_it(entry) for entry in entries]
            os.environ[name] = ",".join(dict.fromkeys(filter(None, [*readable, *more])))


def refuse_unusable_proxy(api_url: str) -> None:
    """Raise `BadInputError` if a server must be reached through a proxy that Prefect's client cannot use."""
    if _scheme_in_use(api_url) in _unusable():
        raise BadInputError(
            f"Prefect's server at {api_url} would be asked for through the proxy {proxy_in_use(api_url)}, which "
            "Prefect cannot use: it knows `http://` and `https://`, and `socks5://` where the Python package `socksio` "
            "is installed. Name another proxy, or add the server's host to `no_proxy`."
        )


def proxy_in_use(url: str) -> str | None:
    """Return the proxy through which a URL is reached, without its password, and the variable that names it."""
    scheme = _scheme_in_use(url)
    if scheme is None:
        return None
    names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
    variable = next((name for name in names if os.environ.get(name)), names[0])
    return f"{urllib.request.getproxies()[scheme].rpartition('@')[2]} ({variable})"


def _scheme_in_use(url: str) -> str | None:
    parts = urlsplit(url)
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    proxies = urllib.request.getproxies()
    return next((scheme for scheme in (parts.scheme, "all") if proxies.get(scheme)), None)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost") or _is_own_name_for_loopback(host)
    return address.is_loopback or address.is_unspecified


def _is_own_name_for_loopback(host: str) -> bool:
    """Whether it is this machine's name, which Debian gives an address on the loopback interface."""
    if host != socket.gethostname().lower():
        return False
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except OSError:
        return False


def _unusable() -> list[str]:
    """Return the proxies for which httpx must not open a connection, because that would always fail."""
    proxies = urllib.request.getproxies()
    return [scheme for scheme in _OF_HTTPX if proxies.get(scheme) and not _can_be_used(proxies[scheme])]


def _can_be_used(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        _ = parts.port  # read now
    except ValueError:
        return False
    return parts.scheme in ("http", "https") or (
        parts.scheme in ("socks5", "socks5h") and find_spec("socksio") is not None
    )


def _as_httpx_reads_it(entry: str) -> str:
    """Return an entry of `no_proxy` in a form that httpx can parse; None if there is no such form."""
    bare = entry.partition("/")[0].strip("[]") if "://" not in entry else entry
    try:
        return bare if ipaddress.ip_address(bare).version == 6 else entry  # noqa: PLR2004
    except ValueError:
        host, colon, port = entry.partition(":")
        is_host = entry.isascii() and (not colon or port.isdigit())
        return entry if "://" in entry or (is_host and host) else ""
