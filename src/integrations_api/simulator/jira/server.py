"""Running the simulator: in a thread beside a test, or as a program."""

from collections.abc import Iterable

from integrations_api.simulator.common import server
from integrations_api.simulator.common.server import Certificate

from .access import Flavour
from .app import Simulator
from .faults import BOOK
from .site import JiraSite


class SimulatorServer(server.SimulatorServer[Simulator]):
    """Serves a site over a real socket in a thread; `site` may be used while the server runs."""

    def __init__(
        self,
        site: JiraSite,
        port: int = 0,
        *,
        control: bool = True,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(Simulator(site, control=control), port=port, certificate=certificate)
        self.site = site


def run_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 8082,
    issues: int = 2_000,
    seed: int = 1,
    flavour: Flavour = "cloud",
    faults: Iterable[str] = (),
) -> None:
    """What the command line runs. Raises ValueError for a bad fault, OSError for a taken port."""
    simulator = Simulator(JiraSite.with_issues(issues, seed=seed, flavour=flavour), control=True)
    for text in faults:
        simulator.faults.add(BOOK.parse(text))
    server.run(simulator, host=host, port=port)
