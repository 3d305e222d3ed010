"""The nginx of docker-compose.yml's profile `scale` on loopback, from the same template."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "deploy" / "nginx.conf.template"


def fill_in(template: str, values: Mapping[str, str]) -> str:
    """Puts in values as the image does: of `${NAME}`, those that are given; nginx's own `$name` stay."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


def blanks(template: str) -> set[str]:
    """The names a template wants values for."""
    return set(re.findall(r"\$\{(\w+)\}", template))


def configuration(folder: Path, *, replicas: Sequence[int], listen: int, template: str | None = None) -> Path:
    """Writes the template into the folder, filled in for replicas at these ports of loopback."""
    values = {
        "NGINX_LISTEN": f"127.0.0.1:{listen}",
        "NGINX_TEMP": str(folder),
        "NGINX_REPLICAS": " ".join(f"server 127.0.0.1:{port} fail_timeout=5s;" for port in replicas),
        "MAX_BODY_BYTES": "1000000",
    }
    path = folder / "nginx.conf"
    path.write_text(fill_in(template or TEMPLATE.read_text(), values))
    return path


def find_nginx() -> str | None:
    """NGINX, or what packages of this machine have put in place."""
    return os.environ.get("NGINX") or shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


@dataclass(frozen=True)
class Proxy:
    """A running nginx."""

    url: str
    folder: Path

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The lines of its access log so far."""
        return [json.loads(line) for line in (self.folder / "nginx.out").read_text().splitlines()]

    @property
    def said(self) -> str:
        """All it has written: access log and errors."""
        return (self.folder / "nginx.out").read_text() + (self.folder / "nginx.err").read_text()


@contextmanager
def running_proxy(
    folder: Path, *, replicas: Sequence[int], program: str, template: str | None = None
) -> Iterator[Proxy]:
    """An nginx before replicas at these ports while the context lasts; `template` in place of the project's."""
    port = _free_port()
    path = configuration(folder, replicas=replicas, listen=port, template=template)
    with (folder / "nginx.out").open("wb") as out, (folder / "nginx.err").open("wb") as err:
        command = [*_as_given(program, folder), "-c", str(path)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder)
    proxy = Proxy(url=f"http://127.0.0.1:{port}", folder=folder)
    try:
        wait_for(lambda: _listens(port, process, proxy), "nginx")
        yield proxy
    finally:
        process.terminate()
        process.wait(PATIENCE)


def check_configuration(folder: Path, program: str) -> str:
    """What `nginx -t` says to the template, filled in."""
    path = configuration(folder, replicas=[8001, 8002], listen=_free_port())
    done = subprocess.run(
        [*_as_given(program, folder), "-t", "-c", str(path)], capture_output=True, text=True, timeout=PATIENCE
    )
    return f"{done.stderr}exit code {done.returncode}"


def _as_given(program: str, folder: Path) -> list[str]:
    # Its workers would otherwise be nobody, who may not enter our folders.
    user = "user root; " if os.geteuid() == 0 else ""
    return [program, "-p", str(folder), "-e", "stderr", "-g", f"{user}daemon off; pid {folder}/nginx.pid;"]


def _free_port() -> int:
    """A port nobody has now; nginx cannot have the kernel choose one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int, process: "subprocess.Popen[bytes]", proxy: Proxy) -> bool:
    assert process.poll() is None, proxy.said
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
