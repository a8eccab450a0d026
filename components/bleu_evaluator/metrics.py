"""The metrics of a model's captions: one entry of `METRICS` each, and nothing else to change to add one.

A metric is computed from per-image statistics, so that a slice and a bootstrap resample cost a sum.
Settings are checked against this table, so nothing heavy is imported before a metric is computed.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

METEOR, SPICE, REF_CLIP_SCORE = "meteor", "spice", "ref_clip_score"
# whose words a metric counts: those of `words.split_words`, those of COCO's server, see `ptb`, or none: raw sentences
SIMPLE, PTB, RAW = "simple", "ptb", "raw"
Key = tuple[str, Callable]  # what metrics with equal per-image statistics have in common


class MetricUnavailable(RuntimeError):
    """A metric cannot be computed here; the message says why."""


class MetricFailed(MetricUnavailable):
    """The program that computes a metric has failed, perhaps only for a moment."""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What metrics compare: the words of one tokenizer, between single spaces, or raw sentences.

    Attributes:
      captions: the model's caption of each image, [n].
      references: the reference captions of each image, [n], at least one each.
      train_captions: the captions of the train split.
      resources: metric -> what its `setup` has returned.
      images: the images, [n], where the sentences are raw.
    """

    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    train_captions: Collection[str] = ()
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    images: Sequence[Any] = ()


@dataclasses.dataclass(frozen=True)
class Mean:
    """Aggregation: the mean of one number per image."""


@dataclasses.dataclass(frozen=True)
class CorpusCounts:
    """Aggregation: a function of counts that are summed over the images.

    Attributes:
      function: sums of the counts, [..., k] -> values, [...].
    """

    function: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class NumDistinct:
    """Aggregation: the number of distinct items, of which each image has a set.

    Attributes:
      as_fraction: whether the number is divided by the number of images.
    """

    as_fraction: bool = False


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
      name: the key in evaluation files and in settings.
      label: the name in tables.
      higher_is_better: the direction of an improvement; None for a metric that only describes the captions.
      per_image: computes per-image statistics: one number, k counts, or a set of items, as `aggregation` needs.
        Metrics that share the function share its result.
      aggregation: how the metric of several images follows from it.
      image_scores: scores of single images for the gallery, from the result of `per_image`: [n, k] -> [n]; None shows
        none.
      decimals: number of decimals in tables.
      setup: starts what takes a while to be ready, before anything is captioned, by the evaluator's settings;
        `per_image` finds it in `Corpus.resources`. It raises `MetricUnavailable` where the metric cannot be computed.
      is_enabled: whether the evaluator's settings ask for the metric; None if they always do.
      words: whose words the corpus has: SIMPLE, PTB or RAW.
      has_ptb_variant: whether the metric is also computed on the words of COCO's server, see `ptb_variant`.
      is_corpus_wide: whether the statistics of an image depend on the other images.
      variant_of: of a variant, the name of the metric itself.
    """

    name: str
    label: str
    higher_is_better: bool | None
    per_image: Callable[[Corpus], Any]
    aggregation: Mean | CorpusCounts | NumDistinct = Mean()
    image_scores: Callable[[Any], Any] | None = None
    decimals: int = 3
    setup: Callable[[Any], Any] | None = None
    is_enabled: Callable[[Any], bool] | None = None
    words: str = SIMPLE
    has_ptb_variant: bool = False
    is_corpus_wide: bool = False
    variant_of: str = ""

    @property
    def key(self) -> Key:
        """Equal for metrics that share their per-image statistics."""
        return self.words, self.per_image

    def is_wanted(self, settings: Any) -> bool:
        """Whether the evaluator's settings ask for the metric, or have a rule about it."""
        return not self.is_enabled or self.is_enabled(settings) or self.name in settings.max_regression


def ptb_variant(metric: Metric) -> Metric:
    """The same metric on the words of COCO's server; its resource is that of the metric itself."""
    name, label = f"{metric.name}_{PTB}", f"{metric.label} (PTB)"
    return dataclasses.replace(
        metric,
        name=name,
        label=label,
        setup=None,
        is_enabled=None,
        words=PTB,
        has_ptb_variant=False,
        variant_of=metric.name,
    )


def all_metrics() -> list[Metric]:
    """The metrics in the order of tables, each with its variant beside it."""
    return [
        variant
        for metric in METRICS.values()
        for variant in ([metric, ptb_variant(metric)] if metric.has_ptb_variant else [metric])
    ]


def deciding_metric(name: str, tokenizer: str) -> Metric:
    """The metric, or its variant, that a rule about a metric uses.

    Args:
      name: the metric as the rule names it.
      tokenizer: the setting of that name.
    """
    metric = METRICS[name]
    return ptb_variant(metric) if tokenizer == PTB and metric.has_ptb_variant else metric


def comparable_metrics() -> list[str]:
    """The metrics in which one model can be better than another, with a p-value."""
    return [
        metric.name
        for metric in METRICS.values()
        if metric.higher_is_better is not None and not isinstance(metric.aggregation, NumDistinct)
    ]


def _bleu_counts(corpus: Corpus) -> Any:
    from components.shared import bleu

    return bleu.corpus_counts(corpus.captions, corpus.references)


def _bleu(max_order: int) -> CorpusCounts:
    def function(sums: Any) -> Any:
        from components.shared import bleu

        return bleu.from_counts(sums, max_order)

    return CorpusCounts(function)


def _smoothed_bleu_4(counts: Any) -> Any:
    from components.shared import bleu

    return bleu.smoothed_bleu_4(counts)


def _cider(corpus: Corpus) -> Any:
    """CIDEr-D of COCO's server, 0 to 10, with the test references as the corpus (Vedantam et al. 2015)."""
    from pycocoevalcap.cider.cider import Cider

    return Cider().compute_score(*_coco_format(corpus))[1]


def _rouge_l(corpus: Corpus) -> Any:
    """ROUGE-L: Lin 2004, https://aclanthology.org/W04-1013."""
    from pycocoevalcap.rouge.rouge import Rouge

    return Rouge().compute_score(*_coco_format(corpus))[1]


def _coco_format(corpus: Corpus) -> tuple[dict[int, list[str]], dict[int, list[str]]]:
    """References and captions as pycocoevalcap takes them."""
    references = {row: list(sentences) for row, sentences in enumerate(corpus.references)}
    return references, {row: [caption] for row, caption in enumerate(corpus.captions)}


def _start_meteor(settings: Any) -> Any:
    from components.bleu_evaluator import meteor

    return meteor.Program()


def _meteor_statistics(corpus: Corpus) -> Any:
    return corpus.resources[METEOR].statistics(corpus.captions, corpus.references)


def _meteor(sums: Any) -> Any:
    from components.bleu_evaluator import meteor

    return meteor.corpus_score(sums)


def _start_spice(settings: Any) -> Any:
    from components.bleu_evaluator import spice

    return spice.Program(settings.spice_dir)


def _spice(corpus: Corpus) -> Any:
    return corpus.resources[SPICE].scores(corpus.captions, corpus.references)


def _load_clip(settings: Any) -> Any:
    from components.bleu_evaluator import clip_score

    return clip_score.Clip(settings.clip_dir)


def _ref_clip_score(corpus: Corpus) -> Any:
    return corpus.resources[REF_CLIP_SCORE].scores(corpus.captions, corpus.references, corpus.images)


def _first(values: Any) -> Any:
    """The per-image value itself as the image's score."""
    return values[:, 0]


def _num_words(corpus: Corpus) -> Any:
    return [len(caption.split()) for caption in corpus.captions]


def _is_train_caption(corpus: Corpus) -> Any:
    return [caption in corpus.train_captions for caption in corpus.captions]


def _words(corpus: Corpus) -> Any:
    return [frozenset(caption.split()) for caption in corpus.captions]


def _whole_caption(corpus: Corpus) -> Any:
    return [frozenset([caption]) for caption in corpus.captions]


_Quality = functools.partial(Metric, higher_is_better=True, has_ptb_variant=True)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _Quality("bleu_1", "BLEU-1", per_image=_bleu_counts, aggregation=_bleu(1)),
        _Quality("bleu_2", "BLEU-2", per_image=_bleu_counts, aggregation=_bleu(2)),
        _Quality("bleu_3", "BLEU-3", per_image=_bleu_counts, aggregation=_bleu(3)),
        _Quality("bleu_4", "BLEU-4", per_image=_bleu_counts, aggregation=_bleu(4), image_scores=_smoothed_bleu_4),
        _Quality("cider", "CIDEr", per_image=_cider, image_scores=_first, is_corpus_wide=True),
        _Quality("rouge_l", "ROUGE-L", per_image=_rouge_l, image_scores=_first),
        _Quality(
            METEOR,
            "METEOR",
            per_image=_meteor_statistics,
            aggregation=CorpusCounts(_meteor),
            setup=_start_meteor,
            is_enabled=lambda settings: settings.meteor,
        ),
        Metric(
            SPICE,
            "SPICE",
            True,
            _spice,
            image_scores=_first,
            setup=_start_spice,
            is_enabled=lambda settings: settings.spice_dir is not None,
            words=PTB,
        ),
        Metric(
            REF_CLIP_SCORE,
            "RefCLIPScore",
            True,
            _ref_clip_score,
            image_scores=_first,
            setup=_load_clip,
            is_enabled=lambda settings: settings.clip_dir is not None,
            words=RAW,
        ),
        Metric("mean_length", "mean caption length", None, _num_words),
        Metric("train_overlap", "train overlap", None, _is_train_caption),
        Metric("unique_words", "unique words", None, _words, NumDistinct(), decimals=0),
        Metric("distinct_captions", "distinct captions", None, _whole_caption, NumDistinct(as_fraction=True)),
    )
}
