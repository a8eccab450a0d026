"""The graph for Vertex AI Pipelines, through TFX's own runner for it."""

import contextlib

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from captions_kubeflow.output import output_file
from pipeline.config import Config, ConfigError
from pipeline.pipeline import create_pipeline


def compile_to(config: Config, path: str) -> None:
    """Writes the pipeline for Vertex AI.

    Args:
      config: all settings; the root is in Google Cloud Storage, the only storage that Vertex's steps share.
      path: path of the JSON file, which is replaced as a whole.

    Raises:
      UserError: the root is not in Google Cloud Storage, or the file can't be written.
    """
    if not (config.root or "").startswith("gs://"):
        raise ConfigError("root: Vertex AI's steps only share Google Cloud Storage; set root=gs://BUCKET/NAME")
    # the only strategy that Vertex supports
    pipeline = create_pipeline(config, baseline_strategy=LatestBlessedModelStrategy)
    pipeline.metadata_connection_config = None  # Vertex has its own
    with output_file(path, [".json"]) as partial, contextlib.redirect_stdout(None):
        runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
            config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=config.kubeflow.image),
            output_filename=partial,
        )
        try:
            runner.run(pipeline, write_out=True)
        except ValueError as error:  # a name that Vertex does not allow, for example
            raise ConfigError(f"Vertex AI can't run it: {str(error).splitlines()[0]}") from None
