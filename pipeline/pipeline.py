"""The graph of the pipeline: the same for the local runner and for a cluster."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.components import StatisticsGen, Transform
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import pusher_pb2
from tfx.types import Channel, standard_artifacts

from components.bleu_evaluator.baseline import LastBlessedModel
from components.bleu_evaluator.component import BleuEvaluator
from components.caption_ingest.component import CaptionIngest
from components.example_validator.component import ExampleValidator
from components.feature_extractor.component import FeatureExtractor
from components.import_schema_gen.component import ImportSchemaGen
from components.pusher.component import Pusher
from components.report.component import Report
from components.source import source_hash
from components.trainer.component import Trainer
from pipeline.config import Config, to_dict

SCHEMA = os.path.join("schemas", "captions.pbtxt")  # found beside the code, wherever a step runs
PREPROCESSING_FN = "components.tokenizer.preprocessing.preprocessing_fn"
TOKENIZER_SOURCE = ("components.tokenizer", "components.records")
# where no other runner is asked for: DirectRunner first looks for a Go program to download (Beam 2.60 and later); and
# for workers elsewhere TFX would pack itself up at each step, one second, unless they have an image
LOCAL_BEAM = ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--sdk_container_image=none")
APART = ("model", "models", "warm_start", "epochs")  # of `trainer`: what is no part of a Trainer's `settings`


def as_it_is(key: str, value: Any) -> Any:
    """A parameter of a graph that is compiled for one run: the setting's value."""
    del key
    return value


def create_pipeline(
    config: Config,
    parameter: Callable[[str, Any], Any] = as_it_is,
    baseline_strategy: type[ResolverStrategy] = LastBlessedModel,
) -> Pipeline:
    """Builds the graph.

    Args:
      config: all settings.
      parameter: (key of a setting, its value) -> what stands for it in the graph: the value, or a `RuntimeParameter`
        where the graph is compiled once for many runs.
      baseline_strategy: which model is the one to beat.

    Returns:
      a pipeline for any TFX runner, with ML Metadata in SQLite below the root.
    """
    root = config.root_dir

    # reads the pictures once, so that no later step meets a bad one
    ingest = CaptionIngest(
        data_dir=parameter("data.dir", config.data_dir),
        memory_dir=os.path.join(root, "store", "pictures"),
        captions=config.data.captions or "",
        limit=parameter("data.limit", config.data.limit or 0),
        max_reject_fraction=parameter("data.max_reject_fraction", config.data.max_reject_fraction),
        unlisted=config.data.unlisted,
        split_shares=to_dict(config)["data"]["split_shares"],
    )
    examples = ingest.outputs["examples"]

    # what the captions are like, for the validator and for people
    statistics = StatisticsGen(examples=examples)

    # a curated schema, since one inferred from the data would call any data valid
    schema = ImportSchemaGen(schema_file=SCHEMA)

    # stops data that breaks the schema before anything dear is computed
    validator = ExampleValidator(
        examples=examples,
        statistics=statistics.outputs["statistics"],
        schema=schema.outputs["schema"],
        on_drift=config.data.on_drift,
    )

    # the tokenizer, whose vocabulary comes from train alone
    tokenizer = Transform(
        examples=examples,
        schema=schema.outputs["schema"],
        preprocessing_fn=PREPROCESSING_FN,
        # TFX does not notice that an imported preprocessing_fn has changed; the hash makes it
        custom_config=to_dict(config)["tokenizer"] | {"source": source_hash(*TOKENIZER_SOURCE)},
        disable_analyzer_cache=True,
        disable_statistics=True,
    )
    tokenizer.add_upstream_node(validator)

    # the dear step, paid once a picture
    extractor = FeatureExtractor(
        examples=examples,
        store_dir=config.feature_store_dir,
        backbone=parameter("feature_extractor.backbone", config.feature_extractor.backbone),
        weights=parameter("feature_extractor.weights", config.feature_extractor.weights),
        image_size=config.feature_extractor.image_size,
        batch_size=config.feature_extractor.batch_size,
    )
    extractor.add_upstream_node(validator)

    # the model to beat
    baseline = Resolver(
        strategy_class=baseline_strategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
    ).with_id("LatestBlessedModel")

    chosen = config.trainer.models or (config.trainer.model,)
    settings = {key: value for key, value in to_dict(config)["trainer"].items() if key not in APART}

    # learn from train, choose their epoch on eval; the first one may serve
    trainers = [
        Trainer(
            examples=tokenizer.outputs["transformed_examples"],
            transform_graph=tokenizer.outputs["transform_graph"],
            features=extractor.outputs["features"],
            base_model=baseline.outputs["model"] if config.trainer.warm_start != "none" else None,
            epochs=parameter("trainer.epochs", config.trainer.epochs),
            settings=settings,
            model_name=model,
            checkpoint_dir=os.path.join(root, "store", "checkpoints"),
        )
        for model in chosen
    ]
    trainer, others = trainers[0], trainers[1:]
    for model, other in zip(chosen[1:], others, strict=True):
        other.with_id(f"{model.capitalize()}Trainer")

    measuring = to_dict(config)["evaluator"]

    # measures both on test, and decides
    evaluator = BleuEvaluator(
        examples=examples,
        features=extractor.outputs["features"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        other_models=others[0].outputs["model"] if others else None,
        min_bleu_4=parameter("evaluator.min_bleu_4", measuring.pop("min_bleu_4")),
        min_gain=parameter("evaluator.min_gain", measuring.pop("min_gain")),
        baseline=measuring.pop("baseline"),
        settings=measuring,
    )

    # only what is blessed reaches the server's directory
    pusher = Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=pusher_pb2.PushDestination(
            filesystem=pusher_pb2.PushDestination.Filesystem(base_directory=os.path.join(root, "serving"))
        ),
    )

    # for people; last, so that a page that fails holds up no push
    report = Report(
        examples=examples,
        rejects=ingest.outputs["rejects"],
        features=extractor.outputs["features"],
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        other_model_runs=others[0].outputs["model_run"] if others else None,
        evaluation=evaluator.outputs["evaluation"],
    )
    report.add_upstream_node(pusher)

    beam_steps = {step.id: step for step in (ingest, statistics, tokenizer, extractor)}
    for name, step in config.beam.steps.items():
        beam_steps[name].with_beam_pipeline_args(step.args)

    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=os.path.join(root, "artifacts"),
        metadata_connection_config=_sqlite(os.path.join(root, "metadata.sqlite")),
        components=[
            ingest,
            statistics,
            schema,
            validator,
            tokenizer,
            extractor,
            *trainers,
            baseline,
            evaluator,
            pusher,
            report,
        ],
        enable_cache=config.cache,
        beam_pipeline_args=_beam_args(config.beam.args),
    )


def _beam_args(given: Sequence[str]) -> list[str]:
    return [*given] if any(argument.startswith("--runner") for argument in given) else [*LOCAL_BEAM, *given]


def _sqlite(path: str) -> metadata_store_pb2.ConnectionConfig:
    """ML Metadata in a file. TFX's own function of the kind makes directories, and this is to be a pure function."""
    sqlite = metadata_store_pb2.SqliteMetadataSourceConfig(
        filename_uri=path, connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    )
    return metadata_store_pb2.ConnectionConfig(sqlite=sqlite)
