import subprocess
import sys

import pytest

from components.bleu_evaluator.metrics import METRICS, Metric
from components.bleu_evaluator.settings import BleuEvaluatorSettings


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("cidr", "unknown metric cidr; did you mean cider"),
        (
            "fluency",
            "unknown metric fluency; known metrics: bleu_1, .*cider, rouge_l, meteor, spice, ref_clip_score",
        ),
        ("unique_words", "unique_words only describes the captions; metrics that can regress: bleu_1"),
        ("mean_length", "mean_length only describes the captions"),
    ],
)
def test_a_rule_about_a_metric_that_cannot_regress_is_refused(metric, message):
    with pytest.raises(ValueError, match=message):
        BleuEvaluatorSettings(max_regression={metric: 0.1})


def test_a_rule_about_a_new_metric_is_known(monkeypatch):
    monkeypatch.setitem(METRICS, "errors", Metric("errors", "errors", False, lambda corpus: [0] * len(corpus.captions)))
    assert BleuEvaluatorSettings(max_regression={"errors": 0.1}).max_regression == {"errors": 0.1}


def test_the_metrics_are_known_without_the_libraries_that_compute_them():
    heavy = {"numpy", "tensorflow", "tfx", "nltk", "pycocoevalcap"}
    code = f"import sys, components.bleu_evaluator.settings; print({heavy} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
