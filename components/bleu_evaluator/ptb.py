"""Words as COCO's server has them: the PTB tokenizer of Stanford CoreNLP, a Java program that `pycocoevalcap` contains.

Published figures rest on it (Chen et al. 2015, https://arxiv.org/abs/1504.00325). Unlike `words.split_words`, it keeps
hyphens and apostrophes ("t-shirt", "man 's") and splits contractions ("ca n't").
"""

import concurrent.futures
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from pycocoevalcap.tokenizer import ptbtokenizer

from components.bleu_evaluator.metrics import Corpus, MetricFailed, MetricUnavailable
from components.shared import unspaced
from components.shared.words import Tokenization, split_words

JAR = os.path.join(os.path.dirname(ptbtokenizer.__file__), ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
MAIN_CLASS = "edu.stanford.nlp.process.PTBTokenizer"
OPTIONS = ("-preserveLines", "-lowerCase", "-encoding", "utf-8")  # whatever the locale
PUNCTUATION = frozenset(ptbtokenizer.PUNCTUATIONS)  # tokens that COCO's server leaves out


def check() -> None:
    """Checks that the tokenizer can run here.

    Raises:
      MetricUnavailable: Java is not installed.
    """
    if shutil.which("java") is None:
        raise MetricUnavailable("metrics by COCO's PTB tokenizer are not computed: Java is not installed")


class Process:
    """One call of the program, in a process of its own: about half a second, also for 5,000 sentences.

    How it splits the end of a sentence may depend on the sentence after it ("U.S."), so that references and each
    model's captions are a call of their own, in the order of the images, as in COCO's program.
    """

    def __init__(self, sentences: Sequence[str]):
        """Starts the process, and does not wait for it.

        Args:
          sentences: raw sentences, [n].

        Raises:
          MetricUnavailable: Java is not installed.
        """
        check()
        self._num_sentences = len(sentences)
        # other characters than \n end a line for the program, too
        lines = "".join(f"{' '.join(sentence.splitlines())}\n" for sentence in sentences)
        command = ["java", "-cp", JAR, MAIN_CLASS, *OPTIONS]
        with_thread = concurrent.futures.ThreadPoolExecutor(1)
        self._call = with_thread.submit(subprocess.run, command, input=lines.encode(), capture_output=True)
        with_thread.shutdown(wait=False)

    def sentences(self) -> list[str]:
        """Waits for the words: words between single spaces, [n]; empty where a sentence has none.

        Raises:
          MetricFailed: the program has failed.
        """
        program = self._call.result()
        lines = program.stdout.decode(errors="replace").split("\n")[:-1]
        if program.returncode or len(lines) != self._num_sentences:
            message = program.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise MetricFailed(
                f"metrics by COCO's PTB tokenizer are not computed: it has exited with status {program.returncode} "
                f"after {len(lines)} of {self._num_sentences} sentences ({message})"
            )
        return [" ".join(word for word in line.split(" ") if word and word not in PUNCTUATION) for line in lines]


class References:
    """The references of a test set, tokenized while models caption its images."""

    def __init__(self, references: Sequence[Sequence[str]], tokenization: Tokenization):
        """Starts the program.

        Args:
          references: the raw references of each image, [n].
          tokenization: what counts as a word in scripts without blanks, which the program does not divide.

        Raises:
          MetricUnavailable: Java is not installed.
        """
        self._counts = [len(sentences) for sentences in references]
        self._tokenization = tokenization
        self._process = self._start(text for sentences in references for text in sentences)
        self._references: list[list[str]] | None = None

    def corpus(self, captions: Sequence[str]) -> Corpus:
        """A model's caption of each image, [n], with the references; as in COCO's program, some may be empty.

        Raises:
          MetricFailed: the program has failed.
        """
        words = self._start(captions)
        if self._references is None:
            sentences = iter(self._process.sentences())
            self._references = [list(itertools.islice(sentences, count)) for count in self._counts]
        return Corpus(words.sentences(), self._references)

    def _start(self, sentences: Iterable[str]) -> Process:
        return Process(
            [
                " ".join(split_words(text, self._tokenization)) if unspaced.occurs_in(text) else text
                for text in sentences
            ]
        )
