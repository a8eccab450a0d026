"""Whether the candidate may serve."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a candidate must reach; all but the first are about the last blessed model, measured on the same pictures.

    Attributes:
      min_bleu_4: least corpus BLEU-4, 0 to 1.
      min_gain: least BLEU-4 over the baseline's; below 0 it allows a loss.
      max_loss: metric -> the most that it may lose against the baseline.
      max_p: greatest p of the gain in BLEU-4, see `bootstrap.compare`; 1 asks for none.
    """

    min_bleu_4: float
    min_gain: float
    max_loss: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_p: float = 1.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One rule and what became of it.

    Attributes:
      rule: the setting: "min_bleu_4", "max_loss.cider".
      value: what was found; None where it could not be found.
      wanted: the bound.
      met: whether it was kept.
      text: the same for people.
    """

    rule: str
    value: float | None
    wanted: float | None
    met: bool
    text: str

    def sentence(self) -> str:
        """As a reason."""
        return f"{'met' if self.met else 'missed'}: {self.text}"


def decide(
    candidate: Mapping[str, float], gains: Mapping[str, Mapping[str, float]] | None, rules: Rules
) -> list[Verdict]:
    """Applies the rules; the candidate is blessed if all are met.

    Args:
      candidate: its metrics.
      gains: metric -> {value, p} over the baseline, of `bootstrap.compare`; None without a baseline: thresholds alone.
      rules: what to reach.

    Raises:
      ValueError: a rule is about a metric that was not measured.
    """
    bleu_4, wanted = candidate["bleu_4"], rules.min_bleu_4
    text = f"bleu_4 {bleu_4:.4f}, at least {wanted:.4f} wanted"
    verdicts = [Verdict("min_bleu_4", bleu_4, wanted, bleu_4 >= wanted, text)]
    if gains is None:
        return verdicts
    gain, wanted = gains["bleu_4"]["value"], rules.min_gain
    text = f"gain over the baseline {gain:+.4f}, {wanted:+.4f} wanted"
    verdicts.append(Verdict("min_gain", gain, wanted, gain >= wanted, text))
    for metric, allowed in rules.max_loss.items():
        if metric not in gains:
            raise ValueError(f"evaluator.max_loss: {metric} was not measured; there are {', '.join(gains)}")
        loss = -gains[metric]["value"]
        text = f"loss of {metric} against the baseline {loss:+.4f}, at most {allowed:+.4f} allowed"
        verdicts.append(Verdict(f"max_loss.{metric}", loss, allowed, loss <= allowed, text))
    if rules.max_p < 1:
        p = gains["bleu_4"]["p"]
        text = f"p {p:.4f} that the gain in bleu_4 is chance, at most {rules.max_p:.4f} allowed"
        verdicts.append(Verdict("max_p", p, rules.max_p, p <= rules.max_p, text))
    return verdicts
