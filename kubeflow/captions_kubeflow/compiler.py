"""The graph -> a pipeline of Kubeflow Pipelines: one container a node, in the order of the graph."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kfp import dsl, kubernetes
from kfp.compiler import Compiler
from kfp.dsl import PipelineTask
from tfx.dsl.compiler import compiler as tfx_compiler
from tfx.orchestration import data_types_utils
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto.orchestration import pipeline_pb2

from captions_kubeflow import graph, ui
from captions_kubeflow.parameters import PARAMETERS, Parameter, parameter_name
from pipeline.config import Config, ConfigError, Kubeflow, Resources
from pipeline.pipeline import create_pipeline

GRAPH = "graph"  # the parameter that holds the compiled graph
# KFP's server puts the run's id here; KFP's own placeholder for it is known to its driver alone
RETRIES_LAST = 365 * 24 * 3600  # seconds
RUN_ID = "{{workflow.uid}}"
EXECUTOR_INPUT = "{{$}}"
SHOWN = {  # step -> what KFP's UI shows of it, see `ui`
    "BleuEvaluator": {ui.METRICS: dsl.Output[dsl.Metrics]},
    "Report": {ui.REPORT: dsl.Output[dsl.HTML]},
}


def compile_to(config: Config, path: str) -> list[Parameter]:
    """Writes the pipeline for Kubeflow Pipelines.

    Args:
      config: all settings.
      path: of the YAML file.

    Returns:
      the parameters that a run may set.

    Raises:
      ConfigError: the config can't be run on a cluster.
    """
    config = on_cluster(config)
    ir, parameters = compile_graph(config)
    nodes = [node.pipeline_node for node in ir.nodes]
    names = [node.node_info.id for node in nodes]
    if unknown := sorted(set(config.kubeflow.steps) - set(names)):
        raise ConfigError(f"kubeflow.steps: no step {', '.join(unknown)}; the steps are {', '.join(names)}")
    shared = [Parameter(GRAPH, str, graph.to_text(ir)), *parameters]

    def pipeline(*values: Any) -> None:
        given = dict(zip([parameter.name for parameter in shared], values, strict=True))
        tasks: dict[str, PipelineTask] = {}
        for node in nodes:  # which come in the order in which they can run
            needed = [p for p in shared if p.name == GRAPH or p.name in graph.used_parameters(node)]
            step = _step(node.node_info.id, needed, config)
            task = step(**{parameter.name: given[parameter.name] for parameter in needed})
            tasks[node.node_info.id] = task.after(*(tasks[upstream] for upstream in node.upstream_nodes))
            _equip(task, node, config.kubeflow)

    pipeline.__name__ = "captions"
    pipeline.__signature__ = _signature(shared, with_defaults=True)  # type: ignore[attr-defined]
    Compiler().compile(dsl.pipeline(name=_kfp_name(config.name))(pipeline), path)
    _let_retries_last(path)
    return parameters


def _let_retries_last(path: str) -> None:
    """Lifts KFP's bound on retries, an hour from the first try's start, the work included: long steps had none.

    The SDK takes no more than that hour (before 2.10), and the server hands on what it is given.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("backoffMaxDuration: 3600s", f"backoffMaxDuration: {RETRIES_LAST}s"))


def on_cluster(config: Config) -> Config:
    """The config with its root on the steps' volume, unless it has another one.

    Raises:
      ConfigError: the root is a path that is not on the volume, so that no step would find it.
    """
    cluster = config.kubeflow
    if not cluster.volume and "://" not in (config.root or ""):
        raise ConfigError("root: the steps have no volume (kubeflow.volume); give root=gs://BUCKET/NAME")
    if config.root is None:
        return dataclasses.replace(config, root=f"{cluster.mount}/{config.name}")
    if "://" not in config.root and not config.root.startswith(f"{cluster.mount}/"):
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
    ir = tfx_compiler.Compiler().compile(made)
    defaults = {each.name: each.default for each in found}
    for node in ir.nodes:
        for value in node.pipeline_node.parameters.parameters.values():
            if value.HasField("runtime_parameter"):  # where TFX leaves out a default of 0
                open_one = value.runtime_parameter
                data_types_utils.set_metadata_value(open_one.default_value, defaults[open_one.name])
    return ir, found


def _step(node_id: str, needed: Sequence[Parameter], config: Config) -> Callable[..., PipelineTask]:
    """The component of a node."""

    def step(*values: Any) -> dsl.ContainerSpec:
        texts = dict(zip([parameter.name for parameter in needed], values, strict=False))
        arguments: list[Any] = ["--node", node_id, "--run-id", RUN_ID, "--graph", texts.pop(GRAPH)]
        for name, value in texts.items():
            arguments += ["--param", name, value]
        if config.kubeflow.volume:
            arguments += ["--scratch", f"{config.kubeflow.mount}/{config.name}/scratch"]
        if node_id in SHOWN:
            arguments += ["--executor-input", EXECUTOR_INPUT]
        command = ["python", "-m", "captions_kubeflow.run_node"]
        return dsl.ContainerSpec(image=config.kubeflow.image, command=command, args=arguments)

    step.__name__ = node_id
    step.__signature__ = _signature(needed, extra=SHOWN.get(node_id))  # type: ignore[attr-defined]
    return dsl.container_component(step)


def _signature(
    parameters: Sequence[Parameter], with_defaults: bool = False, extra: dict[str, Any] | None = None
) -> inspect.Signature:
    """A function's signature, which is where KFP reads names, types and defaults."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    made = [
        inspect.Parameter(
            p.name, kind, annotation=p.type, default=p.default if with_defaults else inspect.Parameter.empty
        )
        for p in parameters
    ]
    return inspect.Signature([*made, *(inspect.Parameter(n, kind, annotation=a) for n, a in (extra or {}).items())])


def _equip(task: PipelineTask, node: pipeline_pb2.PipelineNode, cluster: Kubeflow) -> None:
    """Gives a step its place on the cluster: database, volume, resources."""
    name = node.node_info.id
    task.set_display_name(name)
    task.set_caching_options(False)  # TFX caches, and knows more of what changes a result
    task.set_env_variable("METADATA_HOST", cluster.database.host)
    task.set_env_variable("METADATA_PORT", str(cluster.database.port))
    task.set_env_variable("METADATA_DATABASE", cluster.database.name)
    keys = {"user": "METADATA_USER", "password": "METADATA_PASSWORD"}
    kubernetes.use_secret_as_env(task, secret_name=cluster.database.secret, secret_key_to_env=keys)
    if cluster.volume:
        kubernetes.mount_pvc(task, pvc_name=cluster.volume, mount_path=cluster.mount)
    try:
        _limit(task, cluster.steps.get(name, cluster.default))
    except ValueError as error:  # KFP looks at the amounts
        raise ConfigError(f"kubeflow.{f'steps.{name}' if name in cluster.steps else 'default'}: {error}") from None


def _limit(task: PipelineTask, resources: Resources) -> None:
    if resources.cpu:
        task.set_cpu_request(resources.cpu).set_cpu_limit(resources.cpu)
    if resources.memory:
        task.set_memory_request(resources.memory).set_memory_limit(resources.memory)
    if resources.gpu:
        task.set_accelerator_type(resources.gpu_type).set_accelerator_limit(resources.gpu)
    for key, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, label_key=key, label_value=value)
    if resources.retries:
        task.set_retry(num_retries=resources.retries, backoff_duration="10s", backoff_factor=2.0)
    if resources.timeout:  # last, and by hand: kfp-kubernetes 1.0 does not know the field, which the server does
        task.platform_config["kubernetes"]["activeDeadlineSeconds"] = str(resources.timeout)


def _kfp_name(name: str) -> str:
    """KFP's names are of lower case letters, digits and dashes."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-")
