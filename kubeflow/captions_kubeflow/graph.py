"""The graph as it travels to the cluster: compiled once, for many runs, as one text."""

import base64
import functools
import gzip
import hashlib
import importlib
import pathlib
from collections.abc import Iterator, Mapping

from google.protobuf import json_format
from tfx.dsl.compiler import constants
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from captions_kubeflow.parameters import parse
from components.import_schema_gen.executor import schema_path
from components.shared.code_identity import RESOURCES, behavior
from pipeline.pipeline import SCHEMA

PACKAGES = ("components", "pipeline", "captions_kubeflow")  # the code in the image


class CodeMismatch(RuntimeError):
    """The image and the compiled pipeline come from different code."""


def used_parameters(node: pipeline_pb2.PipelineNode) -> set[str]:
    """Returns the names of the parameters that a node uses."""
    values = node.parameters.parameters.values()
    return {value.runtime_parameter.name for value in values if value.HasField("runtime_parameter")}


def bind(ir: pipeline_pb2.Pipeline, run_id: str, texts: Mapping[str, str]) -> None:
    """Substitutes a run's parameters in the graph.

    Args:
      ir: the graph that `compile_graph` returns.
      run_id: name of the run in ML Metadata.
      texts: parameter -> value as text; a parameter that is missing keeps its default.

    Raises:
      ParameterError: there is no such parameter, or the text is not a value of its type.
    """
    values: dict[str, str | int | float] = {name: parse(name, text) for name, text in texts.items()}
    bindings = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id, **values}
    runtime_parameter_utils.substitute_runtime_parameter(ir, bindings)


@functools.cache
def code_hash() -> str:
    """Hashes the behavior of all code in the image, and the schema beside it.

    Comments and docstrings do not count, so that editing one needs no new image. The hash is the same on all versions
    of Python: a laptop compiles with 3.10 what the image runs with 3.13.
    """
    digest = hashlib.sha256()
    for name, content in _sources():
        digest.update(f"{name}\0".encode() + content + b"\0")
    digest.update(pathlib.Path(schema_path(SCHEMA)).read_bytes())
    return digest.hexdigest()[:16]


def _sources() -> Iterator[tuple[str, bytes]]:
    """Yields (name, content that counts) per file of the packages, in a fixed order."""
    for package in PACKAGES:
        [directory] = map(pathlib.Path, importlib.import_module(package).__path__)
        for path in sorted(directory.rglob("*")):
            name = f"{package}/{path.relative_to(directory).as_posix()}"
            if path.suffix == ".py":
                yield name, behavior(path.read_text(encoding="utf-8")).encode()
            elif path.suffix in RESOURCES:
                yield name, path.read_bytes()


def to_text(ir: pipeline_pb2.Pipeline) -> str:
    """Serializes the graph as one ASCII word, with the hash of the code that it was compiled from."""
    packed = gzip.compress(json_format.MessageToJson(ir, indent=0, sort_keys=True).encode(), mtime=0)
    return f"{code_hash()}:{base64.b64encode(packed).decode()}"


def from_text(text: str) -> pipeline_pb2.Pipeline:
    """Parses what `to_text` has written.

    Raises:
      CodeMismatch: it was compiled from different code.
    """
    compiled_from, _, packed = text.partition(":")
    own = code_hash()
    if compiled_from != own:
        raise CodeMismatch(
            f"the pipeline was compiled from code {compiled_from}, but the image contains code {own}: build the image "
            "from the code that you compile the pipeline with, or compile and upload the pipeline again"
        )
    return json_format.Parse(gzip.decompress(base64.b64decode(packed)), pipeline_pb2.Pipeline())
