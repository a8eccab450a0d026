"""The DAG of the pipeline: the same for the local runner and for a cluster."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tfx.components import StatisticsGen, Transform
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2
from tfx.types import BaseChannel, Channel, standard_artifacts
from tfx.types.channel import UnionChannel

from components.bleu_evaluator.baseline import LastBlessedModel
from components.bleu_evaluator.component import BleuEvaluator
from components.caption_ingest.component import CaptionIngest
from components.example_validator.component import ExampleValidator
from components.exporter.component import Exporter
from components.feature_extractor.component import FeatureExtractor
from components.import_schema_gen.component import ImportSchemaGen
from components.pusher.component import Pusher
from components.report.component import Report
from components.shared.code_identity import code_identity
from components.shared.settings import CODE
from components.trainer.component import Trainer
from pipeline import database
from pipeline.config import Config, to_dict

SCHEMA = os.path.join("schemas", "captions.pbtxt")  # found beside the code, wherever a step runs
TOKENIZER = "components.tokenizer.preprocessing"
# the default runner: DirectRunner would first look for a Go program to download (Beam 2.60 and later); and without an
# image for workers, TFX packages itself at each step, which takes a second
LOCAL_BEAM = ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=none")


def literal(key: str, value: Any) -> Any:
    """A parameter of a DAG that is compiled for one run: the setting's value."""
    del key
    return value


def create_pipeline(
    config: Config,
    parameter: Callable[[str, Any], Any] = literal,
    baseline_strategy: type[ResolverStrategy] = LastBlessedModel,
) -> Pipeline:
    """Builds the DAG.

    Args:
      config: all settings.
      parameter: (key of a setting, its value) -> what stands for it in the DAG: the value, or a `RuntimeParameter`
        where the DAG is compiled once for many runs.
      baseline_strategy: how the baseline model is resolved.

    Returns:
      a pipeline for any TFX runner, with the connection to its ML Metadata, which contains no password.
    """
    paths = config.paths

    # inspects every image once, so that no later step meets a bad one
    ingest = CaptionIngest(
        config.data,
        cache_dir=paths.inspection_cache,
        dir=parameter("data.dir", config.data_dir),
        max_images=parameter("data.max_images", config.data.max_images or 0),
        max_reject_fraction=parameter("data.max_reject_fraction", config.data.max_reject_fraction),
    )
    examples = ingest.outputs["examples"]

    # describes the captions, for the validator and for people
    statistics = StatisticsGen(examples=examples)

    # a curated schema, since one inferred from the data would accept any data
    schema = ImportSchemaGen(schema_file=SCHEMA)

    # stops data that violates the schema before anything expensive is computed
    validator = ExampleValidator(
        config.data, examples=examples, statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )

    # the tokenizer, whose vocabulary comes from train alone
    tokenizer = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn=f"{TOKENIZER}.preprocessing_fn",
        # TFX does not notice that an imported preprocessing_fn has changed
        custom_config=to_dict(config)["tokenizer"] | {CODE: code_identity(TOKENIZER)},
        disable_analyzer_cache=True,
        disable_statistics=True,
    )
    tokenizer.add_upstream_node(validator)

    # the expensive step, paid once per image
    extractor = FeatureExtractor(
        config.feature_extractor,
        examples=examples,
        store_dir=config.feature_store_dir,
        backbone=parameter("feature_extractor.backbone", config.feature_extractor.backbone),
        weights=parameter("feature_extractor.weights", config.feature_extractor.weights),
    )
    extractor.add_upstream_node(validator)

    # the baseline: the model to beat
    baseline = Resolver(
        strategy_class=baseline_strategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")

    # trains on train and chooses the checkpoint on eval; the first model may serve, the others are compared with it
    models = list(labeled_models(config))
    trainers = [
        Trainer(
            settings,
            label=label,
            examples=tokenizer.outputs["transformed_examples"],
            transform_graph=tokenizer.outputs["transform_graph"],
            features=extractor.outputs["features"],
            base_model=baseline.outputs["model"] if settings.warm_start != "none" else None,
            epochs=parameter("trainer.epochs", settings.epochs),
            checkpoint_dir=paths.checkpoints,
        )
        for label, settings in models
    ]
    # separate steps, so that other decoding settings do not train again
    exporters = [
        Exporter(
            config.decoding,
            weights=trainer.outputs["weights"],
            transform_graph=tokenizer.outputs["transform_graph"],
            features=extractor.outputs["features"],
            model_name=settings.model.name,
            tokenization=config.tokenizer,
        )
        for trainer, (_, settings) in zip(trainers, models, strict=True)
    ]
    for (label, _), trainer, exporter in zip(models[1:], trainers[1:], exporters[1:], strict=True):
        trainer.with_id(f"{trainer.id}_{label}")
        exporter.with_id(f"{exporter.id}_{label}")
    candidate = exporters[0].outputs["model"]

    # evaluates candidate, baseline and comparison models on test, and decides
    evaluator = BleuEvaluator(
        config.evaluator,
        examples=examples,
        features=extractor.outputs["features"],
        model=candidate,
        baseline_model=baseline.outputs["model"],
        comparison_models=_union([exporter.outputs["model"] for exporter in exporters[1:]]),
        tokenization=config.tokenizer,
        min_bleu_4=parameter("evaluator.min_bleu_4", config.evaluator.min_bleu_4),
        min_bleu_4_improvement=parameter("evaluator.min_bleu_4_improvement", config.evaluator.min_bleu_4_improvement),
    )

    # only a blessed model reaches the serving directory
    pusher = Pusher(
        model=candidate,
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=paths.serving)
        ),
    )

    # for people; last, so that a page that fails holds up no push
    report = Report(
        examples=examples,
        rejects=ingest.outputs["rejects"],
        features=extractor.outputs["features"],
        model=candidate,
        model_run=trainers[0].outputs["model_run"],
        comparison_model_runs=_union([trainer.outputs["model_run"] for trainer in trainers[1:]]),
        evaluation=evaluator.outputs["evaluation"],
    )
    report.add_upstream_node(pusher)

    beam_args = _beam_args(config.beam.pipeline_args)
    beam_steps = {step.id: step for step in (ingest, statistics, tokenizer, extractor)}
    step_args = {name: config.beam.step_args.get(name, ()) for name in beam_steps}
    if is_staged(config):  # TFX's own steps read and write the disk of the run, which an engine's workers do not see
        step_args = {step.id: (*beam_args, *step_args[step.id]) for step in (ingest, extractor)}
        beam_args = list(LOCAL_BEAM)
    for name, arguments in step_args.items():
        if arguments:
            beam_steps[name].with_beam_pipeline_args(arguments)

    steps = [ingest, statistics, schema, validator, tokenizer, extractor, *trainers, *exporters]
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=paths.artifacts,
        metadata_connection_config=database.connection_of(config.metadata_uri) if config.metadata_uri else None,
        components=[*steps, baseline, evaluator, pusher, report],
        enable_cache=config.cache,
        beam_pipeline_args=beam_args,
    )


def is_staged(config: Config) -> bool:
    """Whether artifacts are in a bucket, and on a disk only while a step runs."""
    return "://" in config.root_dir


def labeled_models(config: Config) -> Iterator[tuple[str, Any]]:
    """Yields (label, settings to train it with) per model, the candidate first.

    A label is the model's name; of several models of one name the later ones are numbered: `gru`, `gru_2`.
    """
    seen: collections.Counter[str] = collections.Counter()
    for model in (config.trainer.model, *config.trainer.comparison_models):
        seen[model.name] += 1
        number = seen[model.name]
        label = model.name if number == 1 else f"{model.name}_{number}"
        yield label, dataclasses.replace(config.trainer, model=model, comparison_models=())


def _union(channels: Sequence[BaseChannel]) -> BaseChannel | None:
    """One channel with the artifacts of several; None without any."""
    if len(channels) < 2:
        return channels[0] if channels else None
    return UnionChannel(channels)


def _beam_args(arguments: Sequence[str]) -> list[str]:
    has_runner = any(argument.startswith("--runner") for argument in arguments)
    return [*arguments] if has_runner else [*LOCAL_BEAM, *arguments]
