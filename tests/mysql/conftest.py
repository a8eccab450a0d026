"""The suite of `make test-mysql`: ML Metadata on a real MariaDB server, which the tests start, stop and start again."""

import getpass
import os
import pathlib
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest

USER, PASSWORD = "captions", "marked-secret-of-the-database"
START_SECONDS = 60
PROGRAMS = ("mariadbd", "mariadb", "mariadb-install-db", "mariadb-dump")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # where Debian has mariadbd


class MariaDb:
    """A server of its own, with its data in a directory."""

    def __init__(self, directory: pathlib.Path):
        if missing := [name for name in PROGRAMS if not shutil.which(name, path=PATH)]:
            pytest.fail(
                f"{', '.join(missing)} missing; on Debian and Ubuntu: apt install mariadb-server", pytrace=False
            )
        self.directory = directory
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen | None = None
        options = [f"--user={getpass.getuser()}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        self._run("mariadb-install-db", f"--datadir={directory}/data", *options)
        self.start()
        self.sql(f"CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        self.sql(f"GRANT ALL ON `test\\_%`.* TO '{USER}'@'%'")

    @property
    def socket(self) -> str:
        return str(self.directory / "socket")

    def start(self) -> None:
        """Starts the server, and waits until it answers."""
        options = [f"--datadir={self.directory}/data", f"--socket={self.socket}", f"--port={self.port}"]
        options += [f"--pid-file={self.directory}/pid", "--bind-address=127.0.0.1", f"--user={getpass.getuser()}"]
        with open(self.directory / "log", "ab") as log:
            command = [str(shutil.which("mariadbd", path=PATH)), "--no-defaults", *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(self._client("SELECT 1"), capture_output=True, check=False).returncode:
            assert self.process.poll() is None and time.monotonic() < deadline, (self.directory / "log").read_text()

    def stop(self) -> None:
        """Stops the server, as a node that is drained does."""
        if self.process:
            self.process.terminate()
            self.process.wait()

    def sql(self, statement: str) -> str:
        """Runs a statement as root."""
        return subprocess.run(self._client(statement), check=True, capture_output=True, text=True).stdout

    def dump(self, database: str) -> str:
        """All that is in a database."""
        return self._run("mariadb-dump", "-uroot", f"--socket={self.socket}", database)

    def uri(self, database: str) -> str:
        return f"mysql://127.0.0.1:{self.port}/{database}"

    def _client(self, statement: str) -> list[str]:
        return ["mariadb", "--no-defaults", "-uroot", f"--socket={self.socket}", "-N", "-e", statement]

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(shutil.which(program, path=PATH)), "--no-defaults", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[MariaDb]:
    mariadb = MariaDb(tmp_path_factory.mktemp("mariadb"))
    yield mariadb
    mariadb.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch) -> None:
    monkeypatch.setenv("METADATA_USER", USER)
    monkeypatch.setenv("METADATA_PASSWORD", PASSWORD)


@pytest.fixture
def database() -> str:
    """The name of a database that does not exist yet, and that the user may create."""
    return f"test_{uuid.uuid4().hex}"


@pytest.fixture
def uri(server, database) -> Iterator[str]:
    yield server.uri(database)
    server.sql(f"DROP DATABASE IF EXISTS {database}")
