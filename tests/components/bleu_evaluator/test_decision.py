import pytest

from components.bleu_evaluator.decision import Rules, decide


def gains(candidate: float, baseline: float | None, p: float = 0.5, **others: float) -> dict | None:
    if baseline is None:
        return None
    values = {"bleu_4": candidate - baseline, **others}
    return {name: {"value": value, "p": p} for name, value in values.items()}


@pytest.mark.parametrize(
    ("candidate", "baseline", "rules", "blessed"),
    [
        (0.30, None, Rules(0.30, 0.0), True),
        (0.29, None, Rules(0.30, 0.0), False),
        (0.30, 0.30, Rules(0.0, 0.0), True),
        (0.30, 0.31, Rules(0.0, 0.0), False),
        (0.30, 0.31, Rules(0.0, -0.02), True),
        (0.32, 0.31, Rules(0.0, 0.02), False),
        (0.20, 0.10, Rules(0.3, 0.0), False),
    ],
)
def test_every_rule_must_be_met(candidate, baseline, rules, blessed):
    verdicts = decide({"bleu_4": candidate}, gains(candidate, baseline), rules)
    assert all(verdict.met for verdict in verdicts) is blessed
    assert [verdict.rule for verdict in verdicts] == ["min_bleu_4", "min_gain"][: 1 if baseline is None else 2]


def test_reasons_give_the_figures():
    verdicts = decide({"bleu_4": 0.25}, gains(0.25, 0.3, cider=-0.2), Rules(0.2, 0.01, {"cider": 0.1}, 0.05))
    assert [verdict.sentence() for verdict in verdicts] == [
        "met: bleu_4 0.2500, at least 0.2000 wanted",
        "missed: gain over the baseline -0.0500, +0.0100 wanted",
        "missed: loss of cider against the baseline +0.2000, at most +0.1000 allowed",
        "missed: p 0.5000 that the gain in bleu_4 is chance, at most 0.0500 allowed",
    ]
    assert [(verdict.rule, verdict.value, verdict.wanted) for verdict in verdicts[2:]] == [
        ("max_loss.cider", 0.2, 0.1),
        ("max_p", 0.5, 0.05),
    ]


def test_a_loss_within_the_bound_is_allowed_and_so_is_a_gain():
    for change in (-0.1, 0.3):
        verdict = decide({"bleu_4": 0.3}, gains(0.3, 0.3, cider=change), Rules(0, 0, {"cider": 0.1}))[-1]
        assert verdict.rule == "max_loss.cider" and verdict.met


@pytest.mark.parametrize(("p", "met"), [(0.05, True), (0.051, False)])
def test_a_gain_that_may_be_chance_is_refused_where_p_is_asked_for(p, met):
    assert decide({"bleu_4": 0.4}, gains(0.4, 0.3, p), Rules(0, 0, {}, 0.05))[-1].met is met


def test_a_rule_about_what_was_not_measured_is_said():
    with pytest.raises(ValueError, match=r"evaluator.max_loss: meteor was not measured; there are bleu_4"):
        decide({"bleu_4": 0.4}, gains(0.4, 0.3), Rules(0, 0, {"meteor": 0.1}))
