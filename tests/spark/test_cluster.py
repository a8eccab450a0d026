"""What can go wrong before the cluster runs: `make test-spark` has these, too."""

import socket
import subprocess
import sys

import pytest

from spark import cluster
from spark.cluster import ClusterError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An installation without anything in it."""
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(cluster, "HOME", tmp_path)
    monkeypatch.setattr(cluster, "_install", lambda: None)
    monkeypatch.setattr(cluster.importlib.metadata, "version", lambda name: cluster.BEAM)
    return tmp_path


def program(directory, name, said=""):
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The directory of the only programs that are found."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program(directory, "java", 'openjdk version "17.0.15"')
    program(directory, "mvn")
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return directory


@pytest.mark.parametrize("part", list(cluster.PORTS))
def test_a_port_in_use_is_said_and_nothing_is_started(home, programs, monkeypatch, part):
    monkeypatch.setattr(cluster, "PORTS", dict.fromkeys(cluster.PORTS, ()))
    with socket.create_server((cluster.HOST, 0)) as other:
        number = other.getsockname()[1]
        cluster.PORTS[part] = (number,)
        with pytest.raises(ClusterError, match=f"port {number} of 127.0.0.1, which {part} needs, is in use"):
            cluster.up()
    assert not list((home / "run").iterdir())


@pytest.mark.parametrize("missing", ["java", "mvn"])
def test_what_is_missing_is_said_with_its_package(home, programs, missing):
    (programs / missing).unlink()
    with pytest.raises(ClusterError, match=f"Java or Maven is missing; .* apt install {cluster.PACKAGES[missing]}$"):
        cluster.up()


@pytest.mark.parametrize("said", ['openjdk version "11.0.2"', ""])
def test_another_java_is_said(home, programs, said):
    program(programs, "java", said)
    with pytest.raises(ClusterError, match=f"wants Java 17, and `java -version` says: {said}$"):
        cluster.up()


def test_java_is_looked_for_where_spark_does(home, programs, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(ClusterError, match=r"missing \(JAVA_HOME is /nowhere\)"):
        cluster.up()


def test_another_beam_is_said(home, programs, monkeypatch):
    monkeypatch.setattr(cluster.importlib.metadata, "version", lambda name: "2.77.0")
    with pytest.raises(ClusterError, match=r"the pipeline's Beam is 2.77.0, .*`make clean set-up TFX=1.16`"):
        cluster.up()


def test_stale_pid_files_stop_nobody_and_are_removed(home):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for part, number in {"master": "", "worker-0": ended.pid, "worker-1": other.pid, "job-server": "0"}.items():
        (home / "run" / f"{part}.pid").write_text(str(number))
    cluster.down()
    assert not list((home / "run").iterdir())
    assert other.poll() is None
    other.communicate(b"\n")


def test_a_stale_pid_file_does_not_keep_a_part_from_starting(home, programs, monkeypatch):
    (home / "run" / "master.pid").write_text("")
    with socket.create_server((cluster.HOST, 0)) as other:
        monkeypatch.setattr(cluster, "PORTS", {"master": (other.getsockname()[1],)})
        with pytest.raises(ClusterError, match="which master needs"):  # it gets as far as looking at the ports
            cluster.up()


def test_a_part_that_ends_is_named_at_once_with_its_last_words(home, monkeypatch):
    cluster._start("worker-0", [sys.executable, "-c", "print('spark: no memory')"])
    with pytest.raises(ClusterError, match=r"(?s)worker-0 has ended; .*worker-0.log ends with\nspark: no memory"):
        cluster._wait("worker-1", lambda: False)


def test_a_part_that_is_not_ready_in_time_is_stopped_by_down(home, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)
    cluster._start("worker-0", [sys.executable, "-c", "'spark'; import time; time.sleep(60)"])
    group = int((home / "run" / "worker-0.pid").read_text())
    with pytest.raises(ClusterError, match=r"worker-0 was not ready in 0 s; `make spark-down` stops the others"):
        cluster._wait("worker-0", lambda: False)
    assert cluster._is_ours(group)
    cluster.down()
    assert not cluster._is_ours(group)
