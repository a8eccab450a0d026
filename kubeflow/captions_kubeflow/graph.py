"""The graph as it travels to the cluster: compiled once, for many runs, as one text."""

import base64
import gzip
import hashlib
import importlib
import pkgutil
from collections.abc import Mapping

from google.protobuf import json_format
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from captions_kubeflow.parameters import parse
from components.import_schema_gen import component as import_schema_gen
from components.source import source_hash
from pipeline.pipeline import SCHEMA

CODE = ("components", "pipeline", "captions_kubeflow")  # with their packages, what a step runs


class OtherCode(RuntimeError):
    """The image and the compiled pipeline are of different code."""


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
    values: dict[str, str | int | float] = {name: parse(name, text) for name, text in given.items()}
    bindings = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id, **values}
    runtime_parameter_utils.substitute_runtime_parameter(ir, bindings)


def code_hash() -> str:
    """The hash of all code that a step may run, and of the schema beside it."""
    packages = list(CODE)
    for name in CODE:
        path = importlib.import_module(name).__path__
        packages += [found.name for found in pkgutil.walk_packages(path, f"{name}.") if found.ispkg]
    with open(import_schema_gen.find(SCHEMA), "rb") as file:
        return hashlib.sha256(source_hash(*packages).encode() + file.read()).hexdigest()[:16]


def to_text(ir: pipeline_pb2.Pipeline) -> str:
    """The graph as one word of ASCII, with the hash of the code that it was compiled from."""
    packed = gzip.compress(json_format.MessageToJson(ir, indent=0, sort_keys=True).encode(), mtime=0)
    return f"{code_hash()}:{base64.b64encode(packed).decode()}"


def from_text(text: str) -> pipeline_pb2.Pipeline:
    """Reads what `to_text` has written.

    Raises:
      OtherCode: it was compiled from other code than this.
    """
    code, _, packed = text.partition(":")
    here = code_hash()
    if code != here:
        raise OtherCode(
            f"the pipeline was compiled from code {code}, and this image holds code {here}: build the image from the "
            "code that the pipeline is compiled from, or compile and upload the pipeline again"
        )
    return json_format.Parse(gzip.decompress(base64.b64decode(packed)), pipeline_pb2.Pipeline())
