"""The command `server`: starts the Prefect server of a state directory, or ends the one that a solve has left."""

from typing import Annotated

import typer

from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.settings import Settings


def server(
    port: Annotated[int, typer.Option(help="Port on the loopback interface.")] = 4200,
    *,
    stop: Annotated[bool, typer.Option("--stop", help="End the server that a solve has left running.")] = False,
) -> None:
    """Start the Prefect server of this state directory, to look at its flow runs; Ctrl-C ends it."""
    from climate_ref_prefect.flows.server.local_server import serve  # noqa: PLC0415
    from climate_ref_prefect.flows.server.server_description import server_home  # noqa: PLC0415
    from climate_ref_prefect.flows.server.server_lease import stop_server  # noqa: PLC0415

    home = Settings().home_directory
    if stop:
        ended = stop_server(server_home(home))
        PlainConsole().print(f"No Prefect server of {home} runs." if ended is None else f"Ended {ended}.")
        return
    PlainConsole().print(f"Prefect's UI: http://127.0.0.1:{port}")
    serve(home, port)
