import pytest

from components.bleu_evaluator.decision import Rules, decide


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
    verdict, reasons = decide({"bleu_4": candidate}, baseline and {"bleu_4": baseline}, rules)
    assert verdict is blessed
    assert len(reasons) == (1 if baseline is None else 2)
    assert all(reason.startswith("met: ") for reason in reasons) is blessed


def test_reasons_give_the_figures():
    _, reasons = decide({"bleu_4": 0.25}, {"bleu_4": 0.3}, Rules(0.2, 0.01))
    assert reasons == [
        "met: bleu_4 0.2500, at least 0.2000 wanted",
        "missed: gain over the baseline -0.0500, +0.0100 wanted",
    ]
