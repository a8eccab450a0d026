"""Every message is provoked and its advice followed, or it is said here why a test can't."""

import ast
import pathlib

from tests.messages import messages
from tests.test_troubleshooting import INTERNAL

# reason -> messages whose advice is not tried
UNTRIED = {
    "it takes an object store; tests/components provokes them with a real server": {
        "No such object or bucket",
        "…: access denied (…): check the credentials in the environment, and their rights",
        "…: the object store fails since … s (…): check that it runs, and its endpoint…, then run again",
        "…: …: check the bucket's name, its region… and the endpoint…",
        "data.dir: … changes while its texts are read; run again when nobody writes to it",
        "…: …:// is not a known file system",
        "…: …:// needs a package that is not installed: …",
        "…: no room for … (…): make some, or set … to a directory on a larger disk",
        "…: can't be written: set … to a directory on this machine's disk",
        "…: … is not a number of GiB: set it to one, such as …",
        "… has changed while it was downloaded; run again",
        "… was deleted in use: run again, and delete it only when no run is in progress",
        "… damaged copies of shards deleted from the node's cache (…, …): run again",
        "…: no file can have the name of the object …: rename or delete it",
        "root: … belongs to another ML Metadata than the one that `metadata` names: set metadata to that one, or use "
        "another root",
    },
    "it takes a cluster; tests/kubeflow provokes them with a server that is a mock": {
        "Kubeflow Pipelines rejected the request: …",
        "Kubernetes has no log of … (…)",
        "Kubernetes unreachable (…)",
        "no pods found for run …",
        "no response from Kubeflow Pipelines (…)",
        "no schedule …; see --list",
        "run … is still running after … s",
        "run …: …",
        "server unreachable: no Kubeflow Pipelines at … (…)",
        "…: its run … is still running, and replacing the schedule would stop it; wait, or --delete the schedule "
        "first, which stops the run",
        "…; the run may still be running",
    },
    "it takes a database server; tests/mysql provokes them with a real one": {
        "… cannot be used (…): mend the database, or use another one",
        "… denies access to user …: check METADATA_USER and METADATA_PASSWORD, which a step of a cluster has from the "
        "keys `user` and `password` of the Secret",
        "… fails since … s (…): check that the server runs, and its address (metadata), then run again",
        "… was written by … TFX: use that one, or another database",
    },
    "a package, a program or an interpreter is to be installed, with a network and as root": {
        "METEOR is not computed: Java is not installed",
        "METEOR is not computed: its program answered …",
        "METEOR is not computed: its program has exited (…)",
        "Python 3.9 or later is needed to begin with, and … is older",
        "a package could not be installed; uv's message is above",
        "evaluator.max_regression.…: …",
        "SPICE is not computed: Java is not installed",
        "SPICE is not computed: it needs Java 8 to …, and this is Java …",
        "SPICE is not computed: its program has failed (…)",
        "SPICE is not computed: set evaluator.spice_dir",
        "SPICE is not computed: … lacks …, of …",
        "evaluator.spice_dir: …",
        "evaluator.tokenizer: …",
        "metrics by COCO's PTB tokenizer are not computed: Java is not installed",
        "metrics by COCO's PTB tokenizer are not computed: it has exited with status … after … of … sentences (…)",
        "no Python … was found and none could be downloaded. Install one so that `python…` is on the PATH (a package "
        "of your system, conda, `pyenv install …`), or run `uv python install …` where there is internet.",
        "the extra `kubeflow` is not installed (no module …): …",
        "uv could not be installed; pip's message is above",
        "… can't create virtual environments; on Debian and Ubuntu: apt install python3-venv",
    },
    "it takes Spark, Java and Maven": {
        "Java or Maven is missing…; on Debian and Ubuntu: apt install …",
        "Spark requires Java …, but `… -version` prints: …",
        "can't run … (…): `make setup` installs it",
        "port … of …, which … needs, is in use; stop its process",
        "the pipeline uses Beam …, and Spark's job server is only available for …: install the other set with `make "
        "setup TFX=1.16`, which later commands keep",
        "… failed; see its output above",
        "… …; `make spark-down` stops the others; … ends with\n…",
    },
    "the way out is another run, which tests/e2e starts after each kind of damage and of edited code": {
        "no run of … has read its data yet; run it first, at least --to …",
        "the code of the features was edited while this step runs; run again",
        "the code of … was edited while this step runs; run again",
        "the model does not decode … of … images: …",
        "… could not be started: its inputs were not found",
        "… does not fit the model …: it lacks some of its weights",
        "… does not fit the model …: …",
        "… has changed since it was listed",
        "… was edited while this process runs; run again",
        "…: not JSON (…)",
        "…: the new directory of this training has been deleted; run again",
    },
    "it is a warning, or says only that a preset can't be used; there is nothing to do": {
        "Base model damaged",
        "Base model has …",
        "Base model not found",
        "Base model of another version",
        "Base model trained on other features",
        "evaluator.clip_dir: …",
        "evaluator.clip_dir: RefCLIPScore needs the preset of a CLIP; set it to its directory",
        "… holds a …, not a …; choose another preset",
        "…: its output is neither a feature map nor a sequence of tokens",
        "…: its … tokens are not a square grid of patches",
        "…: weights are missing",
        "…: … is not an image encoder, it has several inputs",
    },
}


def tried() -> set[str]:
    """The messages that a test of this directory names."""
    paths = set(pathlib.Path(__file__).parent.glob("test_*.py")) - {pathlib.Path(__file__)}
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return {node.value for node in nodes if isinstance(node, ast.Constant)} & set(messages())


def test_the_advice_of_every_message_is_tried_or_the_reason_is_said():
    untried = set().union(*UNTRIED.values())
    assert sum(map(len, UNTRIED.values())) == len(untried)
    missing = sorted(set(messages()) - tried() - untried - INTERNAL)
    assert not missing, "follow their advice in tests/advice, or say why not:\n" + "\n".join(missing)
    assert not untried & tried(), "these are tried"
    assert not untried - set(messages()), "these are no longer in the code"
    assert len(tried()) > 2 * len(untried)
