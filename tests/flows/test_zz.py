import os, signal, pytest, subprocess, time
from tests.flows import coordinators
from tests.flows.coordinators import coordinator
pytestmark=pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("i", range(12))
def test_z(site, i, monkeypatch):
    monkeypatch.setattr(coordinators, "COMMAND", ("-c", "import faulthandler,signal; faulthandler.register(signal.SIGUSR1, all_threads=True)\nfrom climate_ref_prefect.flows.command import main; main()"))
    site.add_models("ModelA","ModelB", "ModelC")
    with coordinator(site, "waits-for-go") as started:
        started.wait_until_it_holds(site.notes / "started-ModelA")
        os.killpg(started.pid, signal.SIGINT)
        time.sleep([0,0.01,0.05,0.1,0.2,0.3][i%6])
        os.killpg(started.pid, signal.SIGINT)
        t=time.monotonic()
        try: print("CODE", i, started.process.wait(12), time.monotonic()-t)
        except subprocess.TimeoutExpired:
            print("HANG", i); os.kill(started.pid, signal.SIGUSR1); time.sleep(1); print(started.said[-12000:]); started.process.kill()
