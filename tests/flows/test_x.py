import signal, pytest
from tests.flows.coordinators import coordinator
from tests.flows.conftest import *
pytestmark=pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("n",[signal.SIGINT]*8)
def test_x(site, n):
    site.add_models("ModelA","ModelB")
    with coordinator(site, "waits-for-go", "good") as started:
        started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in ("ModelA","ModelB")))
        code = started.interrupt(n); print("CODE", code)
        if code != 130: print(started.said[-6000:])
