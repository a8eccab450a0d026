"""Starts and stops a Spark cluster on this machine: a master, two workers, Beam's job server, Beam's Python workers.

    python -m spark.cluster up      install what is missing into .spark, start, wait until all is ready
    python -m spark.cluster down    stop all of it

The pipeline uses it with `--config pipeline/configs/overlays/spark.yaml`. It differs from Spark on several machines
only in that everything listens on the loopback address.
"""

import argparse
import collections
import contextlib
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import psutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / ".spark"
POM = pathlib.Path(__file__).parent / "pom.xml"
SPARK = "pyspark==3.5.4"  # its wheel is the complete distribution
BEAM = "2.56.0"  # version of the job server, which must be that of the pipeline
JAVA = 17
PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}
HOST = "127.0.0.1"
MASTER, MASTER_PAGE, JOBS, ARTIFACTS, EXPANSION, POOL = 7077, 7078, 8099, 8098, 8097, 50000  # ports
PORTS = {"master": (MASTER, MASTER_PAGE), "python-workers": (POOL,), "job-server": (JOBS, ARTIFACTS, EXPANSION)}
WORKERS, CORES, MEMORY = 2, 1, "3g"
# Java's own packages that Spark uses; its launcher opens these for its own classes (JavaModuleOptions)
ADD_OPENS = (
    "java.io",
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)
PROCESS_PATTERN = re.compile("spark|apache_beam")  # matches the command lines of all processes
START_TIMEOUT = 90.0  # maximum seconds until a process is ready


class ClusterError(RuntimeError):
    """The cluster can't be started; the message says what to do."""


def up(wrapper: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Installs what is missing, starts what is not running, and waits until it is ready.

    Args:
      wrapper: a command that runs the workers: their own command follows as its last arguments.
      environment: variables of the workers alone, such as their credentials.

    Raises:
      ClusterError: a package is missing, a port is in use, or a process did not start.
    """
    _check_system()
    _install()
    for file in _pid_files():
        if not is_running(_group_in(file)):  # after a reboot, for example
            file.unlink()
    _check_ports()
    spark_class = str(_distribution() / "bin" / "spark-class")
    master = f"spark://{HOST}:{MASTER}"
    deploy = "org.apache.spark.deploy"
    pages = ["--host", HOST, "--webui-port"]
    start_process("master", [spark_class, f"{deploy}.master.Master", *pages, str(MASTER_PAGE), "--port", str(MASTER)])
    wait_for("master", lambda: _listens(MASTER) and _listens(MASTER_PAGE))
    for number in range(WORKERS):
        limits = ["--cores", str(CORES), "--memory", MEMORY, "--work-dir", str(HOME / "run" / f"worker-{number}")]
        worker = [spark_class, f"{deploy}.worker.Worker", *pages, "0", *limits, master]
        start_process(f"worker-{number}", [*wrapper, *worker], environment)
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={POOL}"]
    start_process("python-workers", [*wrapper, *pool], environment)
    jobs = [f"--job-host={HOST}", f"--job-port={JOBS}", f"--artifact-port={ARTIFACTS}", f"--expansion-port={EXPANSION}"]
    locations = [f"--spark-master-url={master}", f"--artifacts-dir={HOME / 'run' / 'artifacts'}"]
    driver = "org.apache.beam.runners.spark.SparkJobServerDriver"
    start_process("job-server", [spark_class, driver, *jobs, *locations])
    wait_for(f"worker-{WORKERS - 1}", lambda: _workers_alive() == WORKERS)
    wait_for("python-workers", lambda: _listens(POOL))
    wait_for("job-server", lambda: _listens(JOBS))


def down() -> None:
    """Stops every process, in reverse order of their start."""
    for file in sorted(_pid_files(), key=lambda file: file.stat().st_mtime, reverse=True):
        group = _group_in(file)
        for signal_number, timeout in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            if is_running(group):
                with contextlib.suppress(ProcessLookupError):  # it has just exited
                    os.killpg(group, signal_number)
                _wait_until(functools.partial(_is_gone, group), timeout)
        file.unlink()


def executors() -> dict[str, int]:
    """Returns the running executors of this cluster: executor id in their application -> process id."""
    pids = {}
    for process in psutil.process_iter(["cmdline"]):
        command = _command_line(process)
        if "CoarseGrainedExecutorBackend" in command and str(HOME) in command:
            pids[command.partition("--executor-id ")[2].split()[0]] = process.pid
    return pids


def tasks(application: str = "*") -> dict[tuple[str, str], tuple[int, int]]:
    """Counts the tasks of the executors since the cluster was started, from their logs.

    Args:
      application: Spark's id of a job; all jobs by default.

    Returns:
      (worker, executor id) -> (number of started tasks, number of finished tasks).
    """
    counts: dict[tuple[str, str], tuple[int, int]] = collections.defaultdict(lambda: (0, 0))
    for log in (HOME / "run").glob(f"worker-*/{application}/*/stderr"):
        text = log.read_text(errors="replace")
        key = log.parts[-4], log.parts[-2]
        started, finished = counts[key]
        counts[key] = started + text.count("Running task"), finished + text.count("Finished task")
    return dict(counts)


def last_application() -> str:
    """Returns Spark's id of the job that started last; empty if there was none."""
    return max((path.name for path in (HOME / "run").glob("worker-*/app-*")), default="")


def _check_system() -> None:
    beam = importlib.metadata.version("apache-beam")
    if beam != BEAM:
        raise ClusterError(
            f"the pipeline uses Beam {beam}, and Spark's job server is only available for {BEAM}: install the other "
            "set with `make setup TFX=1.16`, which later commands keep"
        )
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"  # as Spark does
    programs = {java: PACKAGES["java"], "mvn": PACKAGES["mvn"]}
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if missing:
        where = f" (JAVA_HOME is {home})" if home else ""
        raise ClusterError(f"Java or Maven is missing{where}; on Debian and Ubuntu: apt install {' '.join(missing)}")
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) != JAVA:
        first_line = output.strip().partition("\n")[0]
        raise ClusterError(f"Spark requires Java {JAVA}, but `{java} -version` prints: {first_line}")


def _check_ports() -> None:
    """Checks the ports before anything is started, since Spark's master would silently take the next port."""
    for name, ports in PORTS.items():
        if not (HOME / "run" / f"{name}.pid").exists():
            for port in filter(_listens, ports):
                raise ClusterError(f"port {port} of {HOST}, which {name} needs, is in use; stop its process")


def _install() -> None:
    """Installs Spark and the jars of Beam's job server, each once."""
    stamp = HOME / ".installed"
    versions = f"{SPARK} {BEAM}"
    if stamp.is_file() and stamp.read_text() == versions:
        return
    down()  # or processes of the old one would keep running after their pid files are deleted
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    print(f"Installing Spark and Beam's job server into {HOME.name}, about a minute", flush=True)
    uv = str(ROOT / ".uv" / "bin" / "uv")
    options = ["--python", sys.executable, "--target", str(HOME / "spark")]
    _run([uv, "pip", "install", "--quiet", "--no-deps", *options, SPARK])
    jars = [f"-DoutputDirectory={HOME / 'lib'}", "-DincludeScope=runtime", f"-Dbeam.version={BEAM}"]
    _run(["mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies", *jars])
    stamp.write_text(versions)


def _run(command: Sequence[str]) -> None:
    try:
        status = subprocess.run(command, cwd=HOME, check=False).returncode
    except OSError as error:
        raise ClusterError(f"can't run {command[0]} ({error.strerror}): `make setup` installs it") from error
    if status:
        raise ClusterError(f"{' '.join(command)} failed; see its output above")


def _distribution() -> pathlib.Path:
    return HOME / "spark" / "pyspark"


def start_process(name: str, command: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})) -> None:
    """Starts a process in a process group of its own, unless it is running.

    Args:
      name: name of its log and its pid file.
      command: its command line.
      variables: additions to its environment.
    """
    run = HOME / "run"
    run.mkdir(exist_ok=True)
    file = run / f"{name}.pid"
    if file.exists():
        return
    binaries = os.path.dirname(sys.executable)  # Beam's pool runs `python`
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),  # as `components` sets it
        "SPARK_HOME": str(_distribution()),
        "SPARK_LOCAL_IP": HOST,
        # after Spark's own jars, or two versions of Jackson conflict
        "SPARK_DIST_CLASSPATH": str(HOME / "lib" / "*") if name == "job-server" else "",
        "SPARK_DRIVER_MEMORY": "1g",
        "JDK_JAVA_OPTIONS": " ".join(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ADD_OPENS),
        **variables,
    }
    with open(run / f"{name}.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=run, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    file.write_text(str(process.pid))


def wait_for(name: str, is_ready: Callable[[], bool]) -> None:
    """Waits until a process is ready; the error names a process that has exited meanwhile."""
    exited: list[str] = []

    def has_exited() -> bool:
        exited[:] = [file.stem for file in _pid_files() if not is_running(_group_in(file))]
        return bool(exited)

    _wait_until(lambda: is_ready() or has_exited(), START_TIMEOUT)
    if exited or not is_ready():
        log = HOME / "run" / f"{(exited or [name])[0]}.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        problem = "has exited" if exited else f"was not ready in {START_TIMEOUT:.0f} s"
        raise ClusterError(f"{log.stem} {problem}; `make spark-down` stops the others; {log} ends with\n{last}")


def _pid_files() -> list[pathlib.Path]:
    """Returns one file per started process, which contains its process group id."""
    return sorted((HOME / "run").glob("*.pid"))


def _group_in(file: pathlib.Path) -> int:
    """Returns the process group id in a file; -1, which no group has, if the start was interrupted."""
    text = file.read_text()
    return int(text) if text.isdecimal() and int(text) > 1 else -1  # 0 would be this process's own


def _wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _workers_alive() -> int:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{MASTER_PAGE}/json/", timeout=5) as answer:
            return json.load(answer)["aliveworkers"]
    except OSError:  # it listens before it responds
        return 0


def is_running(group: int) -> bool:
    """Whether a process of the cluster is running in a group; its id may belong to others by now."""
    members = [process for process in psutil.process_iter(["cmdline"]) if _group(process) == group]
    return any(PROCESS_PATTERN.search(_command_line(process)) for process in members)


def _is_gone(group: int) -> bool:
    return not is_running(group)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _command_line(process: psutil.Process) -> str:
    """Returns a process's command line."""
    return " ".join(process.info["cmdline"] or ())


def main() -> int:
    """Runs the command line, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="spark.cluster", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=["up", "down"])
    try:
        if parser.parse_args().command == "down":
            down()
            return 0
        up()
    except ClusterError as error:
        print(f"spark: {error}", file=sys.stderr)
        return 1
    print(f"Spark is ready: {WORKERS} workers, logs in {HOME.name}/run; see docs/engines.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
