"""The graph -> a pipeline of Kubeflow Pipelines: one container per node, in the order of the graph."""

import inspect
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kfp import dsl, kubernetes
from kfp.compiler import Compiler
from kfp.dsl import PipelineTask
from tfx.dsl.compiler import compiler as tfx_compiler
from tfx.orchestration import data_types_utils
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto.orchestration import pipeline_pb2

from captions_kubeflow import graph, ui
from captions_kubeflow.cluster_paths import default_root, on_cluster
from captions_kubeflow.names import kfp_name
from captions_kubeflow.output import output_file
from captions_kubeflow.parameters import PARAMETERS, Parameter, parameter_name
from pipeline.config import Config, ConfigError, KubeflowSettings, ResourceSettings
from pipeline.paths import Paths
from pipeline.pipeline import create_pipeline

SUFFIXES = (".yaml", ".yml")  # in KFP's JSON there is no place for Secret, volume and node selectors
GRAPH = "graph"  # the parameter that holds the compiled graph
RETRY_LIMIT = 365 * 24 * 3600  # seconds
# KFP's server substitutes the run's ID; KFP's own placeholder for it is only known to its driver
RUN_ID = "{{workflow.uid}}"
EXECUTOR_INPUT = "{{$}}"
# Google's libraries read the credentials of a service account from a file
KEY_FILE, KEY_FILE_DIRECTORY = "GOOGLE_APPLICATION_CREDENTIALS", "/var/run/secrets/captions-storage"
SHOWN = {  # step -> its output artifacts that KFP's UI shows, see `ui`
    "BleuEvaluator": {ui.METRICS: dsl.Output[dsl.Metrics]},
    "Report": {ui.REPORT: dsl.Output[dsl.HTML]},
}


def compile_to(config: Config, path: str) -> list[Parameter]:
    """Writes the pipeline for Kubeflow Pipelines.

    Args:
      config: all settings.
      path: path of the YAML file, which is replaced as a whole.

    Returns:
      the parameters that a run may set.

    Raises:
      UserError: the pipeline can't run on a cluster with these settings, or the file can't be written.
    """
    config = on_cluster(config)
    ir, parameters = compile_graph(config)
    nodes = [node.pipeline_node for node in ir.nodes]
    names = [node.node_info.id for node in nodes]
    if unknown := sorted(set(config.kubeflow.step_resources) - set(names)):
        raise ConfigError(
            f"kubeflow.step_resources: unknown step {', '.join(unknown)}; the steps are {', '.join(names)}"
        )
    all_parameters = [Parameter(GRAPH, str, graph.to_text(ir)), *parameters]

    def pipeline(*values: Any) -> None:
        channels = dict(zip([parameter.name for parameter in all_parameters], values, strict=True))
        tasks: dict[str, PipelineTask] = {}
        for node in nodes:  # in the order in which they can run
            used = [p for p in all_parameters if p.name == GRAPH or p.name in graph.used_parameters(node)]
            step = _step(node.node_info.id, used, config)
            task = step(**{parameter.name: channels[parameter.name] for parameter in used})
            tasks[node.node_info.id] = task.after(*(tasks[upstream] for upstream in node.upstream_nodes))
            _configure_task(task, node.node_info.id, config.kubeflow)

    pipeline.__name__ = "captions"
    pipeline.__signature__ = _signature(all_parameters, with_defaults=True)  # type: ignore[attr-defined]
    with output_file(path, SUFFIXES) as partial:
        Compiler().compile(dsl.pipeline(name=kfp_name(config.name))(pipeline), partial)
        _raise_retry_limit(partial)
    return parameters


def _raise_retry_limit(path: str) -> None:
    """Raises KFP's limit on retries, an hour from the start of the first attempt: longer steps were never retried.

    The SDK accepts at most that hour (before 2.10), and the server passes on any value.
    """
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("backoffMaxDuration: 3600s", f"backoffMaxDuration: {RETRY_LIMIT}s"))


def compile_graph(config: Config) -> tuple[pipeline_pb2.Pipeline, list[Parameter]]:
    """Compiles the graph for the cluster.

    Args:
      config: all settings; the root is the path that the steps see.

    Returns:
      TFX's intermediate representation without a database, and its runtime parameters.
    """
    parameters: dict[str, Parameter] = {}

    def parameter(key: str, value: Any) -> RuntimeParameter:
        kind = PARAMETERS[key]
        name = parameter_name(key)
        parameters[name] = Parameter(name, kind, kind(value))  # several nodes may share one
        return RuntimeParameter(name=name, ptype=kind, default=parameters[name].default)

    pipeline = create_pipeline(config, parameter)
    pipeline.metadata_connection_config = None  # an argument of each step
    ir = tfx_compiler.Compiler().compile(pipeline)
    for node in ir.nodes:
        for value in node.pipeline_node.parameters.parameters.values():
            if value.HasField("runtime_parameter"):  # TFX leaves out a default of 0
                runtime_parameter = value.runtime_parameter
                default = parameters[runtime_parameter.name].default
                data_types_utils.set_metadata_value(runtime_parameter.default_value, default)
    return ir, list(parameters.values())


def _step(node_id: str, parameters: Sequence[Parameter], config: Config) -> Callable[..., PipelineTask]:
    """Builds the component of a node."""

    def step(*values: Any) -> dsl.ContainerSpec:
        texts = dict(zip([parameter.name for parameter in parameters], values, strict=False))
        arguments: list[Any] = ["--node", node_id, "--run-id", RUN_ID, "--graph", texts.pop(GRAPH)]
        arguments += ["--metadata", config.metadata]
        for name, value in texts.items():
            arguments += ["--param", name, value]
        if config.kubeflow.pvc_name:
            arguments += ["--scratch", _paths_on_volume(config).scratch]
        if node_id in SHOWN:
            arguments += ["--executor-input", EXECUTOR_INPUT]
        command = ["python", "-m", "captions_kubeflow.run_node"]
        return dsl.ContainerSpec(image=config.kubeflow.image, command=command, args=arguments)

    step.__name__ = node_id
    step.__signature__ = _signature(parameters, outputs=SHOWN.get(node_id))  # type: ignore[attr-defined]
    return dsl.container_component(step)


def _paths_on_volume(config: Config) -> Paths:
    """Returns the places below the root, or below the default root where the root is in an object store."""
    return Paths(default_root(config)) if "://" in config.root_dir else config.paths


def _signature(
    parameters: Sequence[Parameter], with_defaults: bool = False, outputs: Mapping[str, Any] | None = None
) -> inspect.Signature:
    """Builds a function's signature, from which KFP reads names, types and defaults."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    arguments = [
        inspect.Parameter(
            p.name, kind, annotation=p.type, default=p.default if with_defaults else inspect.Parameter.empty
        )
        for p in parameters
    ]
    arguments += [inspect.Parameter(name, kind, annotation=type_) for name, type_ in (outputs or {}).items()]
    return inspect.Signature(arguments)


def _configure_task(task: PipelineTask, node_id: str, cluster: KubeflowSettings) -> None:
    """Configures a step for the cluster: database, storage, resources."""
    task.set_display_name(node_id)
    task.set_caching_options(False)  # TFX caches, and knows more of what changes a result
    keys = {"user": "METADATA_USER", "password": "METADATA_PASSWORD"}
    kubernetes.use_secret_as_env(task, secret_name=cluster.database.secret, secret_key_to_env=keys)
    _set_storage(task, cluster)
    # the steps of a comparison model, as Trainer_gru, share those of the candidate's
    names = [name for name in (node_id, node_id.partition("_")[0]) if name in cluster.step_resources]
    key = f"step_resources.{names[0]}" if names else "default_resources"
    try:
        _set_resources(task, cluster.step_resources[names[0]] if names else cluster.default_resources)
    except ValueError as error:  # KFP checks the quantities
        raise ConfigError(f"kubeflow.{key}: {error}") from None


def _set_storage(task: PipelineTask, cluster: KubeflowSettings) -> None:
    """Gives a step its volume, and what leads it to buckets: variables, and credentials from a Secret."""
    if cluster.pvc_name:
        kubernetes.mount_pvc(task, pvc_name=cluster.pvc_name, mount_path=cluster.mount_path)
    for name, value in cluster.environment.items():
        task.set_env_variable(name, value)
    if not cluster.storage_secret:
        return
    keys = {key: key for key in cluster.storage_secret_keys if key != KEY_FILE}
    if keys:
        kubernetes.use_secret_as_env(task, secret_name=cluster.storage_secret, secret_key_to_env=keys)
    if KEY_FILE in cluster.storage_secret_keys:
        kubernetes.use_secret_as_volume(task, secret_name=cluster.storage_secret, mount_path=KEY_FILE_DIRECTORY)
        task.set_env_variable(KEY_FILE, posixpath.join(KEY_FILE_DIRECTORY, KEY_FILE))


def _set_resources(task: PipelineTask, resources: ResourceSettings) -> None:
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
    if resources.timeout:  # last, and set directly: kfp-kubernetes 1.0 lacks the field, which the server knows
        task.platform_config["kubernetes"]["activeDeadlineSeconds"] = str(resources.timeout)
