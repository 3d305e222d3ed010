"""Running the simulator: in a thread beside a test, or as a program."""

from collections.abc import Iterable

from integrations_api.simulator.common import server
from integrations_api.simulator.common.server import Certificate

from .access import Client, User
from .app import Simulator
from .faults import parse_fault
from .instance import ServiceNowInstance


class SimulatorServer(server.SimulatorServer[Simulator]):
    """Serves an instance over a real socket in a thread; `instance` may be used while the server runs."""

    def __init__(
        self,
        instance: ServiceNowInstance,
        port: int = 0,
        *,
        control: bool = True,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(Simulator(instance, control=control), port=port, certificate=certificate)
        self.instance = instance


def make_simulator(
    *,
    incidents: int = 2_000,
    seed: int = 1,
    faults: Iterable[str] = (),
    user: User | None = None,
    client: Client | None = None,
    control: bool = True,
) -> Simulator:
    """A simulator with generated incidents on the machine's clock; faults as `name:key=value,…`. Raises ValueError."""
    instance = ServiceNowInstance.with_incidents(
        incidents, seed=seed, users=[user or User()], clients=[client or Client()]
    )
    simulator = Simulator(instance, control=control)
    for text in faults:
        simulator.faults.add(parse_fault(text))
    return simulator


def run_simulator(
    *,
    host: str = "127.0.0.1",
    port: int = 8081,
    incidents: int = 2_000,
    seed: int = 1,
    faults: Iterable[str] = (),
    user: User | None = None,
    client: Client | None = None,
    control: bool = True,
) -> None:
    """What the command line runs. Raises ValueError for a bad fault, OSError for a taken port."""
    simulator = make_simulator(incidents=incidents, seed=seed, faults=faults, user=user, client=client, control=control)
    server.run(simulator, host=host, port=port)
