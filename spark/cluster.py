"""Starts and stops a Spark cluster on this machine: a master, two workers, Beam's job server, Beam's Python workers.

    python -m spark.cluster up      install what is missing into .spark, start, wait until all is ready
    python -m spark.cluster down    stop all of it

The pipeline reaches it with `--config pipeline/configs/overlays/spark.yaml`. It is Spark as it runs on several
machines, but that everything listens on the loopback address.
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
from collections.abc import Callable, Sequence

import psutil

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / ".spark"
POM = pathlib.Path(__file__).parent / "pom.xml"
SPARK = "pyspark==3.5.4"  # its wheel is the whole distribution
BEAM = "2.56.0"  # of the job server; it must be the pipeline's
JAVA = 17
PACKAGES = {"java": "openjdk-17-jre-headless", "mvn": "maven"}
HOST = "127.0.0.1"
MASTER, MASTER_PAGE, JOBS, ARTIFACTS, EXPANSION, POOL = 7077, 7078, 8099, 8098, 8097, 50000  # ports
PORTS = {"master": (MASTER, MASTER_PAGE), "python-workers": (POOL,), "job-server": (JOBS, ARTIFACTS, EXPANSION)}
WORKERS, CORES, MEMORY = 2, 1, "3g"
# what Spark uses of Java's own; its launcher opens these for its own classes (JavaModuleOptions)
OPENED = (
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
PARTS = re.compile("spark|apache_beam")  # what stands in the command lines of all
PATIENCE = 90.0  # seconds until a part is ready


class ClusterError(RuntimeError):
    """The cluster can't be started; the message says what to do."""


def up() -> None:
    """Installs what is missing, starts what does not run, and waits until it is ready.

    Raises:
      ClusterError: something to install, a port that is in use, or a part that did not start.
    """
    _check_system()
    _install()
    for file in _pid_files():
        if not _is_ours(_group_in(file)):  # of a machine that went down, say
            file.unlink()
    _check_ports()
    spark_class = str(_distribution() / "bin" / "spark-class")
    master = f"spark://{HOST}:{MASTER}"
    deploy = "org.apache.spark.deploy"
    pages = ["--host", HOST, "--webui-port"]
    _start("master", [spark_class, f"{deploy}.master.Master", *pages, str(MASTER_PAGE), "--port", str(MASTER)])
    _wait("master", lambda: _listens(MASTER) and _listens(MASTER_PAGE))
    for number in range(WORKERS):
        limits = ["--cores", str(CORES), "--memory", MEMORY, "--work-dir", str(HOME / "run" / f"worker-{number}")]
        _start(f"worker-{number}", [spark_class, f"{deploy}.worker.Worker", *pages, "0", *limits, master])
    pool = ["-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={POOL}"]
    _start("python-workers", [sys.executable, *pool])
    jobs = [f"--job-host={HOST}", f"--job-port={JOBS}", f"--artifact-port={ARTIFACTS}", f"--expansion-port={EXPANSION}"]
    places = [f"--spark-master-url={master}", f"--artifacts-dir={HOME / 'run' / 'artifacts'}"]
    driver = "org.apache.beam.runners.spark.SparkJobServerDriver"
    _start("job-server", [spark_class, driver, *jobs, *places])
    _wait(f"worker-{WORKERS - 1}", lambda: _workers_alive() == WORKERS)
    _wait("python-workers", lambda: _listens(POOL))
    _wait("job-server", lambda: _listens(JOBS))


def down() -> None:
    """Stops every part, the last that was started first."""
    for file in sorted(_pid_files(), key=lambda file: file.stat().st_mtime, reverse=True):
        group = _group_in(file)
        for signal_number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            if _is_ours(group):
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.killpg(group, signal_number)
                _until(functools.partial(_is_gone, group), patience)
        file.unlink()


def executors() -> dict[str, int]:
    """The executors of this cluster that run at the moment: number in their application -> process id."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        said = _said(process)
        if "CoarseGrainedExecutorBackend" in said and str(HOME) in said:
            found[said.partition("--executor-id ")[2].split()[0]] = process.pid
    return found


def tasks(application: str = "*") -> dict[tuple[str, str], tuple[int, int]]:
    """What the executors have done since the cluster was started, by their logs.

    Args:
      application: Spark's name for a job; all jobs if left out.

    Returns:
      (worker, executor's number) -> tasks that it has started, and finished.
    """
    found: dict[tuple[str, str], tuple[int, int]] = collections.defaultdict(lambda: (0, 0))
    for log in (HOME / "run").glob(f"worker-*/{application}/*/stderr"):
        said = log.read_text(errors="replace")
        key = log.parts[-4], log.parts[-2]
        started, finished = found[key]
        found[key] = started + said.count("Running task"), finished + said.count("Finished task")
    return dict(found)


def last_application() -> str:
    """Spark's name for the job that began last; empty where there was none."""
    return max((path.name for path in (HOME / "run").glob("worker-*/app-*")), default="")


def _check_system() -> None:
    beam = importlib.metadata.version("apache-beam")
    if beam != BEAM:
        raise ClusterError(
            f"the pipeline's Beam is {beam}, and Spark's job server is to be had for {BEAM} alone: make the other "
            "environment, `make clean set-up TFX=1.16`"
        )
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"  # as Spark does it
    programs = {java: PACKAGES["java"], "mvn": PACKAGES["mvn"]}
    missing = [package for program, package in programs.items() if shutil.which(program) is None]
    if missing:
        where = f" (JAVA_HOME is {home})" if home else ""
        raise ClusterError(f"Java or Maven is missing{where}; on Debian and Ubuntu: apt install {' '.join(missing)}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None or int(found[1]) != JAVA:
        raise ClusterError(f"Spark wants Java {JAVA}, and `{java} -version` says: {said.strip().partition(chr(10))[0]}")


def _check_ports() -> None:
    """Looks before anything is started, since Spark's master would quietly take the next port."""
    for part, ports in PORTS.items():
        if not (HOME / "run" / f"{part}.pid").exists():
            for port in filter(_listens, ports):
                raise ClusterError(f"port {port} of {HOST}, which {part} needs, is in use; stop what listens there")


def _install() -> None:
    """Spark and the jars of Beam's job server, each once."""
    stamp = HOME / ".installed"
    wanted = f"{SPARK} {BEAM}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    down()  # or parts of the old one would go on, and nobody would know their numbers
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    print(f"Spark and Beam's job server go into {HOME.name}, about a minute", flush=True)
    uv = str(ROOT / ".uv" / "bin" / "uv")
    place = ["--python", sys.executable, "--target", str(HOME / "spark")]
    _run([uv, "pip", "install", "--quiet", "--no-deps", *place, SPARK])
    jars = [f"-DoutputDirectory={HOME / 'lib'}", "-DincludeScope=runtime", f"-Dbeam.version={BEAM}"]
    _run(["mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies", *jars])
    stamp.write_text(wanted)


def _run(command: Sequence[str]) -> None:
    try:
        status = subprocess.run(command, cwd=HOME, check=False).returncode
    except OSError as error:
        raise ClusterError(f"{command[0]} can't be run ({error.strerror}): `make set-up` brings it") from error
    if status:
        raise ClusterError(f"{' '.join(command)} failed; what it said stands above")


def _distribution() -> pathlib.Path:
    return HOME / "spark" / "pyspark"


def _start(part: str, command: Sequence[str]) -> None:
    """Starts a part in a process group of its own, unless it runs."""
    run = HOME / "run"
    run.mkdir(exist_ok=True)
    file = run / f"{part}.pid"
    if file.exists():
        return
    binaries = os.path.dirname(sys.executable)  # Beam's pool starts `python`
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(ROOT),
        "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),  # as `components` sets it
        "SPARK_HOME": str(_distribution()),
        "SPARK_LOCAL_IP": HOST,
        # after Spark's own jars, or two versions of Jackson meet
        "SPARK_DIST_CLASSPATH": str(HOME / "lib" / "*") if part == "job-server" else "",
        "SPARK_DRIVER_MEMORY": "1g",
        "JDK_JAVA_OPTIONS": " ".join(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in OPENED),
    }
    with open(run / f"{part}.log", "w") as log:
        process = subprocess.Popen(
            command, cwd=run, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    file.write_text(str(process.pid))


def _wait(part: str, is_ready: Callable[[], bool]) -> None:
    """Waits until a part is ready; a part that has ended meanwhile is the one to be told of."""
    ended: list[str] = []

    def has_ended() -> bool:
        ended[:] = [file.stem for file in _pid_files() if not _is_ours(_group_in(file))]
        return bool(ended)

    _until(lambda: is_ready() or has_ended(), PATIENCE)
    if ended or not is_ready():
        log = HOME / "run" / f"{(ended or [part])[0]}.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-10:])
        how = "has ended" if ended else f"was not ready in {PATIENCE:.0f} s"
        raise ClusterError(f"{log.stem} {how}; `make spark-down` stops the others; {log} ends with\n{last}")


def _pid_files() -> list[pathlib.Path]:
    """A file a part that was started, with the number of its process group."""
    return sorted((HOME / "run").glob("*.pid"))


def _group_in(file: pathlib.Path) -> int:
    """The number of a part's process group; -1, which no group has, where its start was broken off."""
    said = file.read_text()
    return int(said) if said.isdecimal() and int(said) > 1 else -1  # 0 would be this process's own


def _until(condition: Callable[[], bool], patience: float) -> bool:
    end = time.monotonic() + patience
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
    except OSError:  # it listens before it answers
        return 0


def _is_ours(group: int) -> bool:
    """Whether a process of a part's group runs, and is not a later one of the same number."""
    members = [process for process in psutil.process_iter(["cmdline"]) if _group(process) == group]
    return any(PARTS.search(_said(process)) for process in members)


def _is_gone(group: int) -> bool:
    return not _is_ours(group)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


def _said(process: psutil.Process) -> str:
    """A process's command line."""
    return " ".join(process.info["cmdline"] or ())


def main() -> int:
    """The command line; returns the exit status."""
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
    print(f"Spark is ready: {WORKERS} workers, logs in {HOME.name}/run; see docs/engines.md for its use")
    return 0


if __name__ == "__main__":
    sys.exit(main())
