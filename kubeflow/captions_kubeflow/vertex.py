"""The graph for Vertex AI Pipelines, through TFX's own runner for it."""

import contextlib

from tfx.dsl.input_resolution.strategies.latest_blessed_model_strategy import LatestBlessedModelStrategy
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from pipeline.config import Config, ConfigError
from pipeline.pipeline import create_pipeline


def compile_to(config: Config, path: str) -> None:
    """Writes the pipeline for Vertex AI.

    Args:
      config: all settings; its root is in Google Cloud Storage, which is all that Vertex's steps share.
      path: of the JSON file.

    Raises:
      ConfigError: the root is not in Google Cloud Storage.
    """
    if not (config.root or "").startswith("gs://"):
        raise ConfigError("root: Vertex AI's steps share nothing but Google Cloud Storage; give root=gs://BUCKET/NAME")
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        config=kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=config.kubeflow.image),
        output_filename=path,
    )
    made = create_pipeline(config, baseline_strategy=LatestBlessedModelStrategy)  # the only one that Vertex knows
    made.metadata_connection_config = None  # Vertex has its own
    with contextlib.redirect_stdout(None):
        runner.run(made, write_out=True)
