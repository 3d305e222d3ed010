"""Running the simulated GitHub: in a thread beside a test, or as a program."""

from collections.abc import Iterable

from integrations_api.simulator.common import server

from .app import Simulator
from .faults import parse_fault
from .generate import with_issues
from .instance import GitHubInstance


class GitHubServer(server.SimulatorServer[Simulator]):
    """Serves an instance over a real socket in a thread; `instance` may be used while the server runs."""

    def __init__(
        self,
        instance: GitHubInstance,
        port: int = 0,
        *,
        control: bool = True,
    ) -> None:
        super().__init__(Simulator(instance, control=control), port=port, certificate=None)
        self.instance = instance


def run_simulator(
    *, host: str = "127.0.0.1", port: int = 8083, issues: int = 2_000, seed: int = 1, faults: Iterable[str] = ()
) -> None:
    """What the command line runs. Raises ValueError for a bad fault, OSError for a taken port."""
    simulator = Simulator(with_issues(issues, seed=seed), control=True)
    for text in faults:
        simulator.faults.add(parse_fault(text))
    server.run(simulator, host=host, port=port)
