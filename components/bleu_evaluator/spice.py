"""SPICE by its authors' Java program: Anderson et al. 2016, https://arxiv.org/abs/1607.08822.

`pycocoevalcap` contains the program, but not the parser and the models of Stanford CoreNLP that it needs: they are read
from a directory, and nothing is downloaded.
"""

import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from pycocoevalcap.spice import spice

from components.bleu_evaluator.metrics import MetricFailed, MetricUnavailable
from components.shared import node_cache, storage

PROGRAM = os.path.join(os.path.dirname(spice.__file__), spice.SPICE_JAR)
LIBRARIES = os.path.join(os.path.dirname(spice.__file__), "lib", "*")
JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
ARCHIVE = "https://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
# the program formats its results by Java's JavaScript engine, which Java 15 has no more
LAST_JAVA = 14


def check(directory: str | None) -> None:
    """Checks that the program can run here.

    Args:
      directory: where the files of Stanford CoreNLP lie, a path or a URI; None if there is none.

    Raises:
      MetricUnavailable: Java is not installed, or too new, or files are missing.
    """
    if directory is None:
        raise MetricUnavailable("SPICE is not computed: set evaluator.spice_dir")
    missing = [name for name in JARS if not storage.exists(os.path.join(directory, name))]
    if missing:
        raise MetricUnavailable(f"SPICE is not computed: {directory} lacks {' and '.join(missing)}, of {ARCHIVE}")
    if shutil.which("java") is None:
        raise MetricUnavailable("SPICE is not computed: Java is not installed")
    version = _java_version()
    if version > LAST_JAVA:
        raise MetricUnavailable(f"SPICE is not computed: it needs Java 8 to {LAST_JAVA}, and this is Java {version}")


def _java_version() -> int:
    """The number of Java's version, of `java -version`: 8 for "1.8.0_422", 17 for "17.0.15"; 0 if it says none."""
    text = subprocess.run(["java", "-version"], capture_output=True, check=False).stderr.decode(errors="replace")
    number = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(number[1]) if number else 0


class Program:
    """Calls of the program, which keeps the parsed references for the next model. It takes up to 8 GB of memory."""

    def __init__(self, directory: str | None):
        """Checks what the program needs.

        Args:
          directory: where the files of Stanford CoreNLP lie.

        Raises:
          MetricUnavailable: see `check`.
        """
        check(directory)
        self._directory = node_cache.tree(str(directory))
        self._cache = tempfile.TemporaryDirectory(prefix="spice-")

    def scores(self, captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
        """Computes the score of each image.

        Args:
          captions: words of COCO's server between single spaces, [n].
          references: the references of each image in the same form.

        Returns:
          the F-scores, 0 to 1, [n].

        Raises:
          MetricFailed: the program has failed.
        """
        pairs = enumerate(zip(captions, references, strict=True))
        images = [{"image_id": row, "test": caption, "refs": list(texts)} for row, (caption, texts) in pairs]
        with tempfile.TemporaryDirectory() as scratch:
            source, target = os.path.join(scratch, "captions.json"), os.path.join(scratch, "scores.json")
            with open(source, "w") as file:
                json.dump(images, file)  # in ASCII, since the program reads it as the locale says
            program = subprocess.run(self.command(source, target), capture_output=True, check=False)
            if program.returncode or not os.path.exists(target):
                lines = program.stderr.decode(errors="replace").strip().splitlines()
                message = next((line for line in lines if "Exception" in line or "Error" in line), "".join(lines[-1:]))
                raise MetricFailed(f"SPICE is not computed: its program has failed ({message})")
            with open(target) as file:
                results = json.load(file)
        scores = {result["image_id"]: _number(result["scores"]["All"]["f"]) for result in results}
        return [scores[row] for row in range(len(captions))]

    def command(self, source: str, target: str) -> list[str]:
        """The command line, as `pycocoevalcap` has it, but for where the parser and its models lie."""
        class_path = os.pathsep.join([PROGRAM, LIBRARIES, *(os.path.join(self._directory, name) for name in JARS)])
        program = ["java", "-Xmx8G", "-cp", class_path, "edu.anu.spice.SpiceScorer"]
        return [*program, source, "-cache", self._cache.name, "-out", target, "-subset", "-silent"]


def _number(score: float | None) -> float:
    """An F-score; 0 where it is undefined, 0 / 0: nothing of the caption matched, and NaN would be all images' mean."""
    return 0.0 if score is None or math.isnan(score) else float(score)
