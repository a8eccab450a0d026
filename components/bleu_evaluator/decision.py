"""Whether the candidate may serve."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Rules:
    """What a candidate must reach.

    Attributes:
      min_bleu_4: least corpus BLEU-4, 0 to 1.
      min_gain: least BLEU-4 over the last blessed model's on the same pictures; below 0 it allows a loss.
    """

    min_bleu_4: float
    min_gain: float


def decide(
    candidate: Mapping[str, float], baseline: Mapping[str, float] | None, rules: Rules
) -> tuple[bool, list[str]]:
    """Applies the rules.

    Args:
      candidate: its metrics.
      baseline: those of the last blessed model on the same pictures, None where there is none.
      rules: what to reach.

    Returns:
      whether it is blessed, and a sentence for each rule.
    """
    bleu_4 = candidate["bleu_4"]
    verdicts = [(bleu_4 >= rules.min_bleu_4, f"bleu_4 {bleu_4:.4f}, at least {rules.min_bleu_4:.4f} wanted")]
    if baseline is not None:
        gain = bleu_4 - baseline["bleu_4"]
        verdicts.append((gain >= rules.min_gain, f"gain over the baseline {gain:+.4f}, {rules.min_gain:+.4f} wanted"))
    reasons = [f"{'met' if met else 'missed'}: {text}" for met, text in verdicts]
    return all(met for met, _ in verdicts), reasons
