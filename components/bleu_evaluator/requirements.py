"""What the rules need to be applied, to be checked before a model is trained for them."""

from components.bleu_evaluator import clip_score, meteor, ptb, spice
from components.bleu_evaluator.metrics import METEOR, METRICS, PTB, REF_CLIP_SCORE, SPICE, MetricUnavailable
from components.bleu_evaluator.settings import BleuEvaluatorSettings


def check(settings: BleuEvaluatorSettings) -> None:
    """Checks that the metrics of the rules can be computed on this machine.

    Raises:
      ValueError: they cannot; the message names the setting.
    """
    if settings.tokenizer == PTB:
        try:
            ptb.check()
        except MetricUnavailable as error:
            raise ValueError(f"evaluator.tokenizer: {error}") from None
    if METEOR in settings.max_regression:
        try:
            meteor.check()
        except MetricUnavailable as error:
            raise ValueError(f"evaluator.max_regression.{METEOR}: {error}") from None
    if METRICS[REF_CLIP_SCORE].is_wanted(settings):
        clip_score.check(settings.clip_dir)
    if METRICS[SPICE].is_wanted(settings):
        try:
            spice.check(settings.spice_dir)
        except (OSError, ValueError, MetricUnavailable) as error:
            raise ValueError(f"evaluator.spice_dir: {error}") from None
