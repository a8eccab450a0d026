"""The graph as it travels to the cluster: compiled once, for many runs, as one text."""

import base64
import dataclasses
import gzip
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from components.source import source_hash
from pipeline.config import Config, ConfigError
from pipeline.pipeline import create_pipeline

# settings that each run on the cluster may choose
PARAMETERS: Mapping[str, type] = {
    "data.dir": str,
    "data.limit": int,
    "data.max_reject_fraction": float,
    "feature_extractor.backbone": str,
    "feature_extractor.weights": str,
    "trainer.epochs": int,
    "evaluator.min_bleu_4": float,
    "evaluator.min_gain": float,
}
CODE = ("components", "pipeline", "captions_kubeflow")


class ParameterError(ValueError):
    """There is no such parameter, or a value is not of its type."""


class OtherCode(RuntimeError):
    """The image and the compiled pipeline are of different code."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a run.

    Attributes:
      name: on the cluster, where names have no dots: `trainer_epochs`.
      type: str, int or float.
      default: the config's value.
    """

    name: str
    type: type
    default: str | int | float


def parameter_name(key: str) -> str:
    """A setting's name on the cluster.

    >>> parameter_name("trainer.epochs")
    'trainer_epochs'
    """
    return key.replace(".", "_")


def on_cluster(config: Config) -> Config:
    """The config with its root on the steps' volume, unless it has another one.

    Raises:
      ConfigError: the root is a path that is not on the volume, so that no step would find it.
    """
    cluster = config.kubeflow
    if config.root is None:
        return dataclasses.replace(config, root=f"{cluster.mount}/{config.name}")
    if "://" not in config.root and (cluster.volume is None or not config.root.startswith(f"{cluster.mount}/")):
        raise ConfigError(f"root: {config.root} is not on the steps' volume, which is mounted at {cluster.mount}")
    return config


def compile_graph(config: Config) -> tuple[pipeline_pb2.Pipeline, list[Parameter]]:
    """Compiles the graph for the cluster.

    Args:
      config: all settings; its root is where the steps see it.

    Returns:
      TFX's intermediate representation without a database, and the parameters that are left open in it.
    """
    found = []

    def parameter(key: str, value: Any) -> RuntimeParameter:
        found.append(Parameter(parameter_name(key), PARAMETERS[key], PARAMETERS[key](value)))
        return RuntimeParameter(name=found[-1].name, ptype=found[-1].type, default=found[-1].default)

    made = create_pipeline(config, parameter)
    made.metadata_connection_config = None  # each step takes it from its environment
    return compiler.Compiler().compile(made), found


def used_parameters(node: pipeline_pb2.PipelineNode) -> set[str]:
    """The names of the parameters that a node needs."""
    values = node.parameters.parameters.values()
    return {value.runtime_parameter.name for value in values if value.HasField("runtime_parameter")}


def bind(ir: pipeline_pb2.Pipeline, run_id: str, given: Mapping[str, str]) -> None:
    """Puts a run's parameters into the graph.

    Args:
      ir: of `compile_graph`.
      run_id: ML Metadata's name for the run.
      given: parameter -> value as text; what is not given keeps its default.

    Raises:
      ParameterError: there is no such parameter, or the text is no value of its type.
    """
    values = {name: parse(name, text) for name, text in given.items()}
    bindings = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id, **values}
    runtime_parameter_utils.substitute_runtime_parameter(ir, bindings)


def arguments(texts: Sequence[str]) -> dict[str, str | int | float]:
    """Parameters as people write them, "trainer.epochs=3" -> {"trainer_epochs": 3}.

    Raises:
      ParameterError: see `bind`.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"--param {text}: write KEY=VALUE, as in --param trainer.epochs=3")
        found[parameter_name(key)] = parse(parameter_name(key), value)
    return found


def parse(name: str, text: str) -> str | int | float:
    """A parameter's value; Kubeflow Pipelines may write a whole number as 3.0.

    Raises:
      ParameterError: see `bind`.
    """
    types = {parameter_name(key): kind for key, kind in PARAMETERS.items()}
    if name not in types:
        raise ParameterError(f"no parameter {name}; there are {', '.join(types)}")
    kind = types[name]
    try:
        if kind is int and "." in text:
            number = float(text)
            if number.is_integer():
                return int(number)
        return kind(text)
    except ValueError:
        raise ParameterError(f"{name}: {text!r} is not of type {kind.__name__}") from None


def to_text(ir: pipeline_pb2.Pipeline) -> str:
    """The graph as one word of ASCII, with the hash of the code that it was compiled from."""
    packed = gzip.compress(json_format.MessageToJson(ir, indent=0).encode(), mtime=0)
    return f"{source_hash(*CODE)}:{base64.b64encode(packed).decode()}"


def from_text(text: str) -> pipeline_pb2.Pipeline:
    """Reads what `to_text` has written.

    Raises:
      OtherCode: it was compiled from other code than this.
    """
    code, _, packed = text.partition(":")
    here = source_hash(*CODE)
    if code != here:
        raise OtherCode(
            f"the pipeline was compiled from code {code}, and this image holds code {here}: build the image from the "
            "code that the pipeline is compiled from, or compile and upload the pipeline again"
        )
    return json_format.Parse(gzip.decompress(base64.b64decode(packed)), pipeline_pb2.Pipeline())
