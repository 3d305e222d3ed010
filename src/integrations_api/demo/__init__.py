"""What `make demo` runs: the whole system on this machine, seen through its public HTTP API."""

from integrations_api.demo.run import run_demo

__all__ = ["run_demo"]
