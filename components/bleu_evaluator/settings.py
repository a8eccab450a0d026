"""Settings of BleuEvaluator."""

import difflib
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator
from pydantic.dataclasses import dataclass

from components.bleu_evaluator.metrics import METRICS, comparable_metrics
from components.shared.settings import STRICT, Fraction, Seed, UserPath


@dataclass(frozen=True, config=STRICT)
class BleuEvaluatorSettings:
    """Criteria for blessing a model."""

    min_bleu_4: Fraction = 0.0
    """Minimum corpus BLEU-4 on the test split."""
    min_bleu_4_improvement: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Minimum improvement of BLEU-4 over the last blessed model; a negative value allows a regression."""
    max_regression: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Metric -> maximum regression against the last blessed model, e.g. `{cider: 0.05}`."""
    max_p_value: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Maximum p-value of the improvement in BLEU-4 (paired bootstrap); 1 disables this rule."""
    baseline: Literal["last_blessed", "none"] = "last_blessed"
    """The model to compare with; `none` compares with none, and only `min_bleu_4` decides."""
    slices: tuple[str, ...] = ("caption_length",)
    """Fields by which metrics are sliced: `caption_length`, or a field of the examples."""
    num_bootstrap_samples: PositiveInt = 1000
    """Number of bootstrap resamples for 95 % intervals and p-values."""
    seed: Seed = 0
    """Seed of the resamples."""
    meteor: bool = True
    """Whether METEOR is computed, where Java is installed."""
    ptb: bool = True
    """Whether the metrics are also computed on the words of COCO's PTB tokenizer, where Java is installed."""
    spice_dir: UserPath | None = None
    """Directory or URI with the two files of Stanford CoreNLP that SPICE needs; null computes no SPICE."""
    clip_dir: UserPath | None = None
    """Directory or URI of the KerasHub preset of a CLIP, for RefCLIPScore; null computes none."""
    tokenizer: Literal["simple", "ptb"] = "simple"
    """Whose words the rules use: `simple`, those that the model learns, or `ptb`, those of COCO's server."""

    @field_validator("max_regression")
    @classmethod
    def _check_metrics(cls, max_regression: dict[str, float]) -> dict[str, float]:
        comparable = comparable_metrics()
        for name in max_regression:
            if name in METRICS and name not in comparable:
                allowed = ", ".join(comparable)
                raise ValueError(f"{name} only describes the captions; metrics that can regress: {allowed}")
            if name not in METRICS:
                close = difflib.get_close_matches(name, comparable, 1)
                hint = f"did you mean {close[0]}?" if close else f"known metrics: {', '.join(comparable)}"
                raise ValueError(f"unknown metric {name}; {hint}")
        return max_regression
