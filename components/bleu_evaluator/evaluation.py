"""Several models on the same test pictures: captions, figures with their intervals, slices, and the comparison."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from components.bleu_evaluator import bleu, bootstrap, meteor, metrics, slices
from components.bleu_evaluator.bootstrap import Sampling
from components.bleu_evaluator.decision import Rules, Verdict
from components.bleu_evaluator.metrics import Measurement
from components.bleu_evaluator.test_set import TestSet

CANDIDATE, BASELINE = "candidate", "baseline"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to measure and to decide; the fields are those of the config's section `evaluator`."""

    min_bleu_4: float
    min_gain: float
    max_loss: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_p: float = 1.0
    slices: Sequence[str] = (slices.CAPTION_LENGTH,)
    resamples: int = 1000
    seed: int = 0
    meteor: bool = True

    @property
    def rules(self) -> Rules:
        """What the decision is made by."""
        return Rules(self.min_bleu_4, self.min_gain, self.max_loss, self.max_p)

    @property
    def sampling(self) -> Sampling:
        """How the test sets are drawn anew."""
        return Sampling(self.resamples, self.seed)


class Evaluation:
    """Collects what is measured on one test set."""

    def __init__(self, test_set: TestSet, training_captions: frozenset[str], settings: Settings):
        """Looks at what the settings ask for, before anything is captioned.

        Raises:
          ValueError: a slice by a field that is not there, or a rule about METEOR where it can't be computed.
        """
        self.test_set, self.settings = test_set, settings
        self._training_captions = training_captions
        self.notes: list[str] = []
        self._meteor = self._start_meteor()
        self._slices = {field: slices.cut(field, test_set.examples, test_set.references) for field in settings.slices}
        self._measured: dict[str, Measurement] = {}
        self._captions: dict[str, Mapping[str, str]] = {}

    def add(self, name: str, captions: Mapping[str, str]) -> None:
        """Measures a model's captions.

        Args:
          name: of the model.
          captions: image id -> caption, of every test picture.
        """
        predictions = [captions[image_id] for image_id in self.test_set.image_ids]
        try:
            found = metrics.measure(predictions, self.test_set.references, self._training_captions, self._meteor)
        except meteor.Unavailable as why:
            self._go_without_meteor(why)
            found = metrics.measure(predictions, self.test_set.references, self._training_captions)
        self._measured[name] = found
        self._captions[name] = captions

    def gains(self, name: str, over: str) -> dict[str, dict[str, float]]:
        """What one model gains over another, see `bootstrap.compare`."""
        return bootstrap.compare(self._measured[name], self._measured[over], self.settings.sampling)

    def figures(self) -> dict[str, dict[str, dict[str, float]]]:
        """Model -> metric -> {value, low, high}."""
        return {name: bootstrap.summarize(found, self.settings.sampling) for name, found in self._measured.items()}

    def slices(self) -> list[dict[str, Any]]:
        """The same for each slice: [{field, value, pictures, models: {name: figures}}]."""
        found = []
        for field, cuts in self._slices.items():
            for value, rows in cuts.items():
                parts = {name: measured.take(rows) for name, measured in self._measured.items()}
                models = {name: bootstrap.summarize(part, self.settings.sampling) for name, part in parts.items()}
                found.append({"field": field, "value": value, "pictures": len(rows), "models": models})
        return found

    def pictures(self) -> list[dict[str, Any]]:
        """Each picture with its captions and their scores: [{image_id, image_uri, references, models: {name: …}}]."""
        scores = {
            name: (bleu.sentences(measured.bleu), measured.means[metrics.CIDER], measured.means[metrics.ROUGE_L])
            for name, measured in self._measured.items()
        }
        rows = []
        for row, image_id in enumerate(self.test_set.image_ids):
            models = {
                name: {
                    "caption": self._captions[name][image_id],
                    "bleu_4": round(float(bleu_4[row]), 4),
                    "cider": round(float(cider[row]), 4),
                    "rouge_l": round(float(rouge_l[row]), 4),
                }
                for name, (bleu_4, cider, rouge_l) in scores.items()
            }
            uri = self.test_set.examples[row]["image_uri"][0]
            references = self.test_set.references[row]
            rows.append({"image_id": image_id, "image_uri": uri, "references": references, "models": models})
        return rows

    def _start_meteor(self) -> meteor.Program | None:
        if not self.settings.meteor and metrics.METEOR not in self.settings.max_loss:
            return None
        try:
            return meteor.Program()
        except meteor.Unavailable as why:
            self._go_without_meteor(why)
            return None

    def _go_without_meteor(self, why: meteor.Unavailable) -> None:
        if metrics.METEOR in self.settings.max_loss:
            raise ValueError(f"evaluator.max_loss.{metrics.METEOR}: {why}") from None
        self.notes.append(str(why))
        self._meteor = None


def cause_of(error: Exception) -> str:
    """An error in one line; the message of a KeyError, say, is the key alone and would tell nobody anything."""
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0]}" if said else type(error).__name__


def not_measured(baseline_dir: str, error: Exception) -> Verdict:
    """The verdict where the last blessed model can't be measured."""
    text = (
        f"the last blessed model {baseline_dir} can't be measured ({cause_of(error)}): put it back and run again, or "
        "set evaluator.baseline to none for one run, which blesses without a comparison"
    )
    return Verdict("baseline", None, None, False, text)


def rolled_back(when: str) -> Verdict:
    """The verdict on a model that was taken from service by hand."""
    text = f"this very model was rolled back at {when}: change data or settings, or go back to it with rollback --to"
    return Verdict("rolled_back", None, None, False, text)
