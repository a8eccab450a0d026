"""What the rules need to be applied, to be checked before a model is trained for them."""

from components.bleu_evaluator import meteor, ptb, spice
from components.bleu_evaluator.metrics import METEOR, METRICS, PTB, SPICE, MetricUnavailable
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
    if METRICS[SPICE].is_wanted(settings):
        try:
            spice.check(settings.spice_dir)
        except MetricUnavailable as error:
            raise ValueError(f"evaluator.spice_dir: {error}") from None
