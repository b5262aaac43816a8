import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tools.services.exceptions import DatabaseRefused, ServiceFailed
from tools.services.external import check_database
from tools.services.places import CHECKOUT, SOCKET_PATH_BYTES, service_account, socket_folder
from tools.services.postgres import Postgres
from tools.services.redis import ensure_redis, redis_server, stop_redis


def new_server(name: str, room: Path) -> Iterator[Postgres]:
    account = service_account()
    folder = room / f"{name} server"
    assert account.own(folder)
    server = Postgres(name, folder, account)
    yield server
    server.remove()


@pytest.fixture(scope="module")
def server(room: Path) -> Iterator[Postgres]:
    yield from new_server("test", room)


@pytest.fixture(scope="module")
def durable(room: Path) -> Iterator[Postgres]:
    yield from new_server("demo", room)


@pytest.fixture(autouse=True)
def no_outside_services(monkeypatch):
    for name in ("DATABASE_URL", "REDIS_URL", "KEEP"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def stocked(server: Postgres) -> Postgres:
    """Running, with something to lose."""
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS n")
    return server


def ask(url: str, question: str):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(question).fetchone()[0]


def postmaster(server: Postgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def environment(room: Path, **more: str) -> dict[str, str]:
    return os.environ | {"LOCKSTEP_STATE": str(room), "PYTHONPATH": str(CHECKOUT)} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "tools.services", *arguments]


def wait_for(condition, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_the_application_owns_its_database_and_is_no_superuser(server):
    url = server.start()
    assert ask(url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    assert ask(url, "SELECT extversion >= '0.8' FROM pg_extension WHERE extname = 'vector'") is True


def test_a_database_that_the_application_creates_has_pgvector(server):
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE made_by_tests")
    assert ask(server.url("made_by_tests"), "SELECT '[1,2]'::vector <-> '[1,3]'::vector") == 1
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE made_by_tests")


def test_it_listens_on_a_private_unix_socket_only(server):
    url = server.start()
    assert ask(url, "SELECT current_setting('listen_addresses')") == ""
    assert server.socket.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(server.socket / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES


def test_the_parser_tells_a_dash_from_a_letter(server):
    assert ask(server.start(), "SELECT length(to_tsvector('simple', 'kettle—descaler'))") == 2


def test_a_second_start_finds_the_first_server(server):
    server.start()
    first = postmaster(server)
    server.start()
    assert postmaster(server) == first


def test_after_kill_9_it_starts_again_with_every_commit(durable):
    with psycopg.connect(durable.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE counted (n int)")
    for round_no in range(1, 3):
        with psycopg.connect(durable.start(), autocommit=True) as connection:
            connection.execute("INSERT INTO counted VALUES (1)")
            os.kill(postmaster(durable), signal.SIGKILL)
        assert ask(durable.start(), "SELECT count(*) FROM counted") == round_no


def test_a_pid_file_that_names_another_program_is_not_believed(stocked):
    pid_file = stocked.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    stocked.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        assert not stocked.is_running()
        assert ask(stocked.start(), "SELECT n FROM kept") == 42
        assert stranger.poll() is None
        stranger.kill()


def test_a_socket_swept_out_of_tmp_comes_back(stocked):
    for file in stocked.socket.iterdir():
        file.unlink()
    assert ask(stocked.start(), "SELECT n FROM kept") == 42


def test_a_killed_initdb_leaves_nothing_in_the_way(server):
    server.remove()
    (server.folder / "data.part").mkdir()
    (server.folder / "data.part" / "PG_VERSION").write_text("18\n")
    assert ask(server.start(), "SELECT 1") == 1


def test_test_data_that_is_beyond_repair_is_made_anew(stocked):
    stocked.stop()
    (stocked.data / "global" / "pg_control").write_bytes(b"\0" * 8192)
    assert ask(stocked.start(), "SELECT to_regclass('kept') IS NULL") is True


def test_durable_data_that_is_beyond_repair_is_left_alone_and_the_log_shown(durable):
    durable.start()
    durable.stop()
    control = durable.data / "global" / "pg_control"
    intact = control.read_bytes()
    control.write_bytes(b"\0" * 8192)
    with pytest.raises(ServiceFailed, match="incompatible with server"):
        durable.start()
    control.write_bytes(intact)
    assert ask(durable.start(), "SELECT 1") == 1


def test_the_last_user_stops_it(server):
    with server.in_use():
        with server.in_use() as url:
            assert ask(url, "SELECT 1") == 1
        assert server.is_running()
    assert not server.is_running()


def test_a_user_that_was_killed_does_not_count(server):
    with server.in_use() as url:
        holder = "import sys, time; from pathlib import Path; from tools.services.places import *; "
        holder += "from tools.services.postgres import Postgres; "
        holder += "s = Postgres('test', Path(sys.argv[1]), service_account()); "
        holder += "e = s.in_use(); e.__enter__(); print('in', flush=True); time.sleep(60)"
        with subprocess.Popen(
            [sys.executable, "-c", holder, str(server.folder)],
            stdout=subprocess.PIPE,
            env=environment(server.folder),
        ) as user:
            assert user.stdout is not None
            assert user.stdout.readline() == b"in\n"
            user.kill()
        assert ask(url, "SELECT 1") == 1
    assert not server.is_running()


def test_with_keep_it_runs_on_until_it_is_stopped(server, monkeypatch):
    monkeypatch.setenv("KEEP", "1")
    with server.in_use():
        pass
    assert server.is_running()
    monkeypatch.delenv("KEEP")
    with server.in_use():
        pass
    assert server.is_running()
    assert server.stop()
    assert not server.is_running()


def test_run_hands_on_the_status_and_a_signal_and_then_stops_the_server(room):
    done = subprocess.run(
        command("run", "test", "--", "sh", "-c", "exit 7"), env=environment(room), check=False
    )
    assert done.returncode == 7
    sleeping = room / "sleeping"
    script = f"echo $DATABASE_URL >'{sleeping}'; exec sleep 60"
    with subprocess.Popen(command("run", "test", "--", "sh", "-c", script), env=environment(room)) as process:
        wait_for(sleeping.exists)
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    status = subprocess.run(command("status", "test"), env=environment(room), check=False)
    assert status.returncode == 1


def test_a_taken_socket_folder_is_not_used(room, tmp_path):
    account = service_account()
    first = socket_folder(room / "some state", account)
    first.chmod(0o755)
    assert socket_folder(room / "some state", account) == first
    assert first.stat().st_mode & 0o777 == 0o700
    first.rmdir()
    first.symlink_to(tmp_path)
    try:
        second = socket_folder(room / "some state", account)
    finally:
        first.unlink()
    assert second != first
    second.rmdir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it under another account")
def test_root_with_an_environment_that_nobody_else_may_enter(tmp_path, room):
    """As in a checkout in root's home folder."""
    from tools.services.binaries import PACKAGE, installed_server

    packages = installed_server().parent.parent
    private = tmp_path / "site-packages"
    private.mkdir(mode=0o700)
    for name in (PACKAGE, f"{PACKAGE}.libs"):
        if (packages / name).exists():
            (private / name).symlink_to(packages / name)
    env = environment(room / "private", PYTHONPATH=f"{private}{os.pathsep}{CHECKOUT}")
    (room / "private").mkdir()
    started = subprocess.run(command("start", "test"), env=env, check=True, stdout=subprocess.PIPE, text=True)
    try:
        assert ask(started.stdout.strip(), "SELECT 1") == 1
        assert list((room / "private" / "postgres-test").glob("server-*"))
    finally:
        subprocess.run(command("remove", "test"), env=env, check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user(room):
    nobody = pwd.getpwnam("nobody")
    state = room / "of nobody"
    state.mkdir()
    os.chown(state, nobody.pw_uid, nobody.pw_gid)
    script = (
        "import os, sys, psycopg, tools.services.postgres as postgres; "
        f"os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid}); "
        "server = postgres.Postgres.named('test'); "
        "assert server.account.uid == os.geteuid() and not server.account.drop; "
        "c = psycopg.connect(server.start()); print(c.execute('SELECT 40 + 2').fetchone()[0]); c.close(); "
        "server.remove()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(state),
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "42\n"


def test_a_database_of_the_users_needs_pgvector_and_the_message_has_the_line_for_it(server):
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE bare TEMPLATE template0")
    with pytest.raises(DatabaseRefused, match="psql -d bare -c 'CREATE EXTENSION vector'"):
        check_database(server.url("bare"), "demo")
    check_database(server.url(), "test")
    with psycopg.connect(server.url("template1", "postgres"), autocommit=True) as template:
        template.execute("DROP EXTENSION vector")
    with pytest.raises(DatabaseRefused, match="psql -d template1 -c 'CREATE EXTENSION vector'"):
        check_database(server.url(), "test")
    check_database(server.url(), "demo")
    check_database(server.url("postgres", "postgres"), "test")  # a superuser adds it by itself
    server.remove()


def test_a_database_that_does_not_answer_is_named():
    with pytest.raises(DatabaseRefused, match="DATABASE_URL cannot be used"):
        check_database("postgresql://nobody@127.0.0.1:1/nothing", "demo")


@pytest.fixture
def redis_state(room, monkeypatch):
    try:
        redis_server()
    except LookupError as missing:
        pytest.skip(str(missing))
    monkeypatch.setenv("LOCKSTEP_STATE", str(room))


def test_redis_starts_once_and_stops(redis_state):
    url = ensure_redis("test")
    try:
        assert url.startswith("unix:///")
        assert ensure_redis("test") == url
    finally:
        assert stop_redis("test")
    assert not stop_redis("test")


def test_a_redis_of_the_users_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://example.test:6379/0")
    assert ensure_redis("test") == "redis://example.test:6379/0"
