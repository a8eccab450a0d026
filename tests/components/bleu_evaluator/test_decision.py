import pytest

from components.bleu_evaluator.decision import decide, undecided, way_out
from components.bleu_evaluator.metrics import METRICS, Metric
from components.bleu_evaluator.settings import BleuEvaluatorSettings


def improvements(candidate: float, baseline: float | None, p: float = 0.5, **others: float) -> dict | None:
    if baseline is None:
        return None
    values = {"bleu_4": candidate - baseline, **others}
    return {name: {"value": value, "p": p} for name, value in values.items()}


@pytest.mark.parametrize(
    ("candidate", "baseline", "minimum", "min_improvement", "is_blessed"),
    [
        (0.30, None, 0.30, 0.0, True),
        (0.29, None, 0.30, 0.0, False),
        (0.30, 0.30, 0.0, 0.0, True),
        (0.30, 0.31, 0.0, 0.0, False),
        (0.30, 0.31, 0.0, -0.02, True),
        (0.32, 0.31, 0.0, 0.02, False),
        (0.20, 0.10, 0.3, 0.0, False),
    ],
)
def test_a_candidate_must_pass_every_rule(candidate, baseline, minimum, min_improvement, is_blessed):
    settings = BleuEvaluatorSettings(min_bleu_4=minimum, min_bleu_4_improvement=min_improvement)
    verdicts = decide({"bleu_4": candidate}, improvements(candidate, baseline), settings)
    assert all(verdict.passed for verdict in verdicts) is is_blessed
    expected = ["min_bleu_4", "min_bleu_4_improvement"][: 1 if baseline is None else 2]
    assert [verdict.rule for verdict in verdicts] == expected


def test_reasons_give_values_and_thresholds():
    settings = BleuEvaluatorSettings(
        min_bleu_4=0.2, min_bleu_4_improvement=0.01, max_regression={"cider": 0.1}, max_p_value=0.05
    )
    verdicts = decide({"bleu_4": 0.25}, improvements(0.25, 0.3, cider=-0.2), settings)
    assert [verdict.reason for verdict in verdicts] == [
        "passed: BLEU-4 0.250 (minimum 0.200)",
        "failed: improvement over baseline -0.050 (minimum +0.010)",
        "failed: CIDEr regression against baseline +0.200 (maximum +0.100)",
        "failed: p-value of improvement 0.500 (maximum 0.050)",
    ]
    assert [(verdict.rule, verdict.value, verdict.threshold) for verdict in verdicts[2:]] == [
        ("max_regression.cider", 0.2, 0.1),
        ("max_p_value", 0.5, 0.05),
    ]


@pytest.mark.parametrize(
    ("improvement", "minimum", "text"),
    [
        (-0.0001, 0.0, "failed: improvement over baseline -0.0001 (minimum +0.0000)"),
        (0.00996, 0.01, "failed: improvement over baseline +0.00996 (minimum +0.01000)"),
        (-0.0001, -0.02, "passed: improvement over baseline -0.0001 (minimum -0.0200)"),
        (0.0001, 0.0, "passed: improvement over baseline +0.0001 (minimum +0.0000)"),
        (1.7e-12 - 4.6e-10, 0.0, "passed: improvement over baseline +0.000 (minimum +0.000)"),  # smoothing
        (-0.000002, 0.0, "failed: improvement over baseline -0.000002 (minimum +0.000000)"),
        (0.32 - 0.3, 0.02, "passed: improvement over baseline +0.020 (minimum +0.020)"),
        (0.7 - 0.6, 0.1, "passed: improvement over baseline +0.100 (minimum +0.100)"),  # 0.09999999999999998
        (1e-17, 0.0, "passed: improvement over baseline +0.000 (minimum +0.000)"),
        (0.0, 0.0, "passed: improvement over baseline +0.000 (minimum +0.000)"),
    ],
)
def test_a_value_close_to_its_threshold_has_the_decimals_that_tell_them_apart(improvement, minimum, text):
    settings = BleuEvaluatorSettings(min_bleu_4_improvement=minimum)
    values = {"bleu_4": {"value": improvement, "p": 0.5}}
    assert decide({"bleu_4": 0.3}, values, settings)[-1].reason == text


@pytest.mark.parametrize(
    ("candidate", "baseline", "settings", "num_lines"),
    [
        (0.3, 0.4, {}, 1),
        (0.3, 0.4, {"min_bleu_4": 0.35}, 0),  # without a baseline, it would be rejected as well
        (0.4, 0.3, {"max_p_value": 0.1}, 1),
        (0.4, 0.3, {}, 0),
        (0.3, None, {"min_bleu_4": 0.35}, 0),
    ],
)
def test_a_rejection_by_the_baseline_alone_names_the_way_out(candidate, baseline, settings, num_lines):
    verdicts = decide({"bleu_4": candidate}, improvements(candidate, baseline), BleuEvaluatorSettings(**settings))
    lines = way_out(verdicts)
    assert len(lines) == num_lines and all("--set evaluator.baseline=none" in line for line in lines)


@pytest.mark.parametrize(("candidate", "baseline", "num_lines"), [(0.0, 1e-12, 1), (0.0, 0.2, 0), (0.2, 0.0, 0)])
def test_a_primary_metric_of_zero_for_both_models_decides_nothing(candidate, baseline, num_lines):
    lines = undecided({"bleu_4": candidate}, {"bleu_4": baseline}, "simple")
    by_ptb = undecided({"bleu_4": 0.5, "bleu_4_ptb": candidate}, {"bleu_4": 0.5, "bleu_4_ptb": baseline}, "ptb")
    assert len(by_ptb) == len(lines) and all(line.startswith("BLEU-4 (PTB) is 0 ") for line in by_ptb)
    assert len(lines) == num_lines
    assert all("decides nothing: use more test images" in line for line in lines)


@pytest.mark.parametrize("change", [-0.1, 0.3])
def test_a_regression_within_the_bound_passes_and_so_does_an_improvement(change):
    settings = BleuEvaluatorSettings(max_regression={"cider": 0.1})
    verdict = decide({"bleu_4": 0.3}, improvements(0.3, 0.3, cider=change), settings)[-1]
    assert verdict.rule == "max_regression.cider" and verdict.passed


@pytest.mark.parametrize(("p", "passed"), [(0.05, True), (0.051, False)])
def test_an_improvement_that_may_be_chance_fails_where_a_p_value_is_set(p, passed):
    settings = BleuEvaluatorSettings(max_p_value=0.05)
    assert decide({"bleu_4": 0.4}, improvements(0.4, 0.3, p), settings)[-1].passed is passed


def test_a_rule_about_a_metric_that_was_not_computed_is_an_error():
    settings = BleuEvaluatorSettings(max_regression={"meteor": 0.1})
    with pytest.raises(ValueError, match=r"max_regression: meteor was not computed; computed metrics: bleu_4"):
        decide({"bleu_4": 0.4}, improvements(0.4, 0.3), settings)


def test_a_metric_where_lower_is_better_regresses_upwards(monkeypatch):
    monkeypatch.setitem(METRICS, "loss", Metric("loss", "loss", False, lambda corpus: [0.0] * len(corpus.captions)))
    settings = BleuEvaluatorSettings(max_regression={"loss": 0.1})
    # of `bootstrap.compare`: the improvement is negative where the loss is higher
    verdict = decide({"bleu_4": 0.3}, improvements(0.3, 0.3, loss=-0.2), settings)[-1]
    assert (verdict.passed, verdict.value) == (False, 0.2)
    assert decide({"bleu_4": 0.3}, improvements(0.3, 0.3, loss=0.2), settings)[-1].passed


def test_the_setting_decides_whose_words_the_rules_use():
    candidate = {"bleu_4": 0.4, "bleu_4_ptb": 0.3}
    improvements = {
        "bleu_4": {"value": 0.1, "p": 0.01}, "bleu_4_ptb": {"value": -0.1, "p": 0.9},
        "cider": {"value": 0.2, "p": 0.01}, "cider_ptb": {"value": -0.2, "p": 0.9},
    }  # fmt: skip
    rules = {"min_bleu_4": 0.35, "max_regression": {"cider": 0.1}, "max_p_value": 0.05}
    simple = decide(candidate, improvements, BleuEvaluatorSettings(**rules))
    ptb = decide(candidate, improvements, BleuEvaluatorSettings(**rules, tokenizer="ptb"))
    assert [verdict.rule for verdict in simple] == [verdict.rule for verdict in ptb]
    assert [verdict.passed for verdict in simple] == [True] * 4 and [verdict.passed for verdict in ptb] == [False] * 4
    assert [verdict.value for verdict in ptb] == [0.3, -0.1, 0.2, 0.9]
    assert ptb[0].text == "BLEU-4 (PTB) 0.300 (minimum 0.350)"
    assert ptb[2].text.startswith("CIDEr (PTB) regression against baseline +0.200")
    with pytest.raises(ValueError, match="max_regression: cider_ptb was not computed; computed metrics: bleu_4_ptb"):
        decide(candidate, {"bleu_4_ptb": improvements["bleu_4_ptb"]}, BleuEvaluatorSettings(**rules, tokenizer="ptb"))
