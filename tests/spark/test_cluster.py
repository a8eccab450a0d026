"""Errors before the cluster runs; part of `make test-spark`."""

import socket
import subprocess
import sys

import pytest

from spark import cluster
from spark.cluster import ClusterError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty directory that counts as a complete installation."""
    (tmp_path / "run").mkdir()
    (tmp_path / ".installed").write_text(f"{cluster.SPARK} {cluster.BEAM}")
    monkeypatch.setattr(cluster, "HOME", tmp_path)
    monkeypatch.setattr(cluster.importlib.metadata, "version", lambda name: cluster.BEAM)
    return tmp_path


def write_program(directory, name, output=""):
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{output}' >&2\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The only directory on PATH, with Java and Maven."""
    directory = tmp_path / "bin"
    directory.mkdir()
    write_program(directory, "java", 'openjdk version "17.0.15"')
    write_program(directory, "mvn")
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return directory


@pytest.mark.parametrize("name", list(cluster.PORTS))
def test_a_port_in_use_is_named_and_nothing_is_started(home, programs, monkeypatch, name):
    monkeypatch.setattr(cluster, "PORTS", dict.fromkeys(cluster.PORTS, ()))
    with socket.create_server((cluster.HOST, 0)) as other:
        number = other.getsockname()[1]
        cluster.PORTS[name] = (number,)
        with pytest.raises(ClusterError, match=f"port {number} of 127.0.0.1, which {name} needs, is in use"):
            cluster.up()
    assert not list((home / "run").iterdir())


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_a_missing_program_is_named_with_its_package(home, programs, missing):
    (programs / missing).unlink()
    with pytest.raises(ClusterError, match=f"Java or Maven is missing; .* apt install {cluster.PACKAGES[missing]}$"):
        cluster.up()


@pytest.mark.parametrize("output", ['openjdk version "11.0.2"', ""])
def test_another_java_is_rejected(home, programs, output):
    write_program(programs, "java", output)
    with pytest.raises(ClusterError, match=f"requires Java 17, but `java -version` prints: {output}$"):
        cluster.up()


def test_java_home_is_used_as_by_spark(home, programs, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ClusterError, match=r"missing \(JAVA_HOME is /nowhere\)"):
        cluster.up()


def test_another_beam_is_rejected(home, programs, monkeypatch):
    monkeypatch.setattr(cluster.importlib.metadata, "version", lambda name: "2.77.0")
    with pytest.raises(ClusterError, match=r"the pipeline uses Beam 2.77.0, .*`make setup TFX=1.16`, which later"):
        cluster.up()


def test_stale_pid_files_are_removed_and_stop_no_process(home):
    other = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)
    exited = subprocess.Popen([sys.executable, "-c", ""])
    exited.wait()
    for name, number in {"master": "", "worker-0": exited.pid, "worker-1": other.pid, "job-server": "0"}.items():
        (home / "run" / f"{name}.pid").write_text(str(number))
    cluster.down()
    assert not list((home / "run").iterdir())
    assert other.poll() is None
    other.communicate()


def test_a_stale_pid_file_does_not_prevent_a_start(home, programs, monkeypatch):
    (home / "run" / "master.pid").write_text("")
    with socket.create_server((cluster.HOST, 0)) as other:
        monkeypatch.setattr(cluster, "PORTS", {"master": (other.getsockname()[1],)})
        with pytest.raises(ClusterError, match="which master needs"):  # the ports are checked only before a start
            cluster.up()


def test_a_process_that_exits_is_named_at_once_with_the_end_of_its_log(home, monkeypatch):
    cluster.start_process("worker-0", [sys.executable, "-c", "print('spark: no memory')"])
    with pytest.raises(ClusterError, match=r"(?s)worker-0 has exited; .*worker-0.log ends with\nspark: no memory"):
        cluster.wait_for("worker-1", lambda: False)


def test_down_stops_a_process_that_is_not_ready_in_time(home, monkeypatch):
    monkeypatch.setattr(cluster, "START_TIMEOUT", 0.1)
    cluster.start_process("worker-0", [sys.executable, "-c", "'spark'; import time; time.sleep(60)"])
    group = int((home / "run" / "worker-0.pid").read_text())
    with pytest.raises(ClusterError, match=r"worker-0 was not ready in 0 s; `make spark-down` stops the others"):
        cluster.wait_for("worker-0", lambda: False)
    assert cluster.is_running(group)
    cluster.down()
    assert not cluster.is_running(group)
