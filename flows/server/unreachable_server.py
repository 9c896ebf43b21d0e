"""Tell whether an error means that Prefect's server does not answer."""

import httpx


def is_of_unreachable_server(error: BaseException) -> bool:
    """Whether it is an error of the connection to Prefect's server, or Prefect's own `RuntimeError` about one."""
    if isinstance(error, RuntimeError):
        return isinstance(error.__cause__, httpx.HTTPError)
    return isinstance(error, httpx.HTTPError)
