"""Whether the candidate may serve: each setting of the evaluator is a rule with a verdict."""

import dataclasses
from collections.abc import Iterable, Mapping

from components.bleu_evaluator.metrics import METRICS, deciding_metric
from components.bleu_evaluator.settings import BleuEvaluatorSettings
from components.shared.evaluations import MAX_DECIMALS, PRIMARY_METRIC, TIE, decimals_of

PRIMARY = METRICS[PRIMARY_METRIC]  # the metric of `min_bleu_4`, `min_bleu_4_improvement` and `max_p_value`
BASELINE_RULES = ("min_bleu_4_improvement", "max_regression", "max_p_value")
WAY_OUT = "to accept it all the same, run once with --set evaluator.baseline=none; see docs/evaluation.md"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The verdict of one rule.

    Attributes:
      rule: the setting: "min_bleu_4", "max_regression.cider".
      value: the measured value; None where there is none.
      threshold: the setting's value; None where there is none.
      passed: whether the candidate has passed.
      text: the value and the threshold as a sentence.
    """

    rule: str
    value: float | None
    threshold: float | None
    passed: bool
    text: str

    @property
    def reason(self) -> str:
        """The verdict as a reason for the decision."""
        return f"{'passed' if self.passed else 'failed'}: {self.text}"


def decide(
    candidate: Mapping[str, float],
    improvements: Mapping[str, Mapping[str, float]] | None,
    settings: BleuEvaluatorSettings,
) -> list[Verdict]:
    """Applies the rules of the settings to the metrics; `is_blessed` decides by the verdicts.

    Args:
      candidate: the candidate's metrics.
      improvements: metric -> {value, p} over the baseline, of `bootstrap.compare`; None without a baseline, when only
        `min_bleu_4` applies.
      settings: the thresholds.

    Raises:
      ValueError: a rule is about a metric that was not computed.
    """
    primary = deciding_metric(PRIMARY.name, settings.tokenizer)
    verdicts = [_at_least("min_bleu_4", candidate[primary.name], settings.min_bleu_4, primary.label)]
    if improvements is None:
        return verdicts
    improvement = improvements[primary.name]
    threshold = settings.min_bleu_4_improvement
    verdicts.append(
        _at_least("min_bleu_4_improvement", improvement["value"], threshold, "improvement over baseline", sign="+")
    )
    for name, allowed in settings.max_regression.items():
        metric = deciding_metric(name, settings.tokenizer)
        if metric.name not in improvements:
            computed = ", ".join(improvements)
            raise ValueError(f"evaluator.max_regression: {metric.name} was not computed; computed metrics: {computed}")
        regression = -improvements[metric.name]["value"]
        text = f"{metric.label} regression against baseline"
        verdicts.append(_at_most(f"max_regression.{name}", regression, allowed, text, metric.decimals, sign="+"))
    if settings.max_p_value < 1:
        verdicts.append(_at_most("max_p_value", improvement["p"], settings.max_p_value, "p-value of improvement"))
    return verdicts


def is_blessed(verdicts: Iterable[Verdict]) -> bool:
    """Whether the candidate is blessed: it must have passed every rule."""
    return all(verdict.passed for verdict in verdicts)


def way_out(verdicts: Iterable[Verdict]) -> list[str]:
    """What to do about a rejection that only the comparison with the baseline has caused: one line or none."""
    failed = [verdict.rule.partition(".")[0] for verdict in verdicts if not verdict.passed]
    return [WAY_OUT] if failed and set(failed) <= set(BASELINE_RULES) else []


def undecided(candidate: Mapping[str, float], baseline: Mapping[str, float], tokenizer: str) -> list[str]:
    """What to know where the primary metric can't tell the candidate from the baseline: one line or none.

    BLEU-4 is 0 without a sequence of four words in common with a reference, as with a handful of test images.

    Args:
      candidate: the candidate's metrics.
      baseline: those of the last blessed model.
      tokenizer: the setting of that name.
    """
    primary = deciding_metric(PRIMARY.name, tokenizer)
    if max(candidate[primary.name], baseline[primary.name]) > TIE:
        return []
    return [
        f"{primary.label} is 0 for the candidate and for the baseline, and decides nothing: use more test images, or "
        "set evaluator.max_regression for other metrics"
    ]


def baseline_unavailable(baseline_dir: str, error: Exception) -> Verdict:
    """The verdict where the last blessed model cannot be evaluated."""
    text = (
        f"the last blessed model {baseline_dir} cannot be evaluated ({cause_of(error)}): restore it and run again, or "
        "set evaluator.baseline to none for one run, which blesses without a comparison"
    )
    return Verdict("baseline", None, None, False, text)


def rolled_back(when: str) -> Verdict:
    """The verdict on a model that was rolled back manually."""
    text = f"this model was rolled back at {when}: change data or settings, or return to it with rollback --to"
    return Verdict("rolled_back", None, None, False, text)


def cause_of(error: Exception) -> str:
    """An error in one line, with its type: the message of a KeyError is the key alone."""
    message = str(error).strip()
    return f"{type(error).__name__}: {message.splitlines()[0]}" if message else type(error).__name__


def _at_least(
    rule: str, value: float, threshold: float, what: str, decimals: int = PRIMARY.decimals, sign: str = ""
) -> Verdict:
    text = _comparison(what, value, "minimum", threshold, decimals, sign)
    return Verdict(rule, value, threshold, value >= threshold - TIE, text)


def _at_most(
    rule: str, value: float, threshold: float, what: str, decimals: int = PRIMARY.decimals, sign: str = ""
) -> Verdict:
    text = _comparison(what, value, "maximum", threshold, decimals, sign)
    return Verdict(rule, value, threshold, value <= threshold + TIE, text)


def _comparison(what: str, value: float, bound: str, threshold: float, decimals: int, sign: str) -> str:
    """A value and its threshold with the decimals of the metric, as in all tables.

    There are more where the two would look equal although they are not, or a difference would look like none.

    >>> _comparison("improvement", -0.0001, "minimum", 0.0, 3, "+")
    'improvement -0.0001 (minimum +0.0000)'
    """
    if abs(value - threshold) <= TIE:
        value = threshold
    else:
        choices = range(decimals_of(value, decimals) if sign else decimals, MAX_DECIMALS + 1)
        decimals = next(n for n in choices if round(value, n) != round(threshold, n))
    # a sum with 0.0 has no negative zero
    value, threshold = (round(number, decimals) + 0.0 for number in (value, threshold))
    return f"{what} {value:{sign}.{decimals}f} ({bound} {threshold:{sign}.{decimals}f})"
