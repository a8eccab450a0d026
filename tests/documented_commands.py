"""The commands in the shell blocks of README.md and docs/*.md, and those of them that cannot be executed here.

The others are the program's own: `tests/test_docs.py` parses them, `tests/e2e/test_documented_commands.py` executes
them.
"""

import pathlib
import re

from tests.factories import ROOT

PROGRAM = "caption-pipeline "
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_EXECUTED = {  # reason -> commands
    "gets or sets up the environment in which the tests run; what make starts there is executed": [
        "git clone REPOSITORY captions",
        "cd captions",
        "make run",
        "make test",
        "source .venv/bin/activate",
        "pip install -e '.[keras-hub]'",
        "pip install . --constraint constraints/tfx-1.16-py310.txt",
        "pip install '.[s3]' --constraint constraints/tfx-1.16-py310.txt",
    ],
    "needs a data set; tests/components/caption_ingest/test_data_sets.py reads such a table": [
        "(printf 'image\\tcaption\\n'; for n in 1 2 3 4 5; do zcat raw/train.$n.de.gz | "
        "paste image_splits/train_images.txt -; done) > train.tsv",
    ],
    "needs Docker, and a registry": ["make image IMAGE=REGISTRY/captions:1", "docker push REGISTRY/captions:1"],
    "needs a cluster: tests/cluster, make test-cluster": [
        "cp -r kubeflow/manifests/overlays/example kubeflow/manifests/overlays/mine",
        "cp kubeflow/manifests/overlays/mine/secret.env.example kubeflow/manifests/overlays/mine/secret.env",
        "kubectl apply -k kubeflow/manifests/overlays/mine",
        "export KFP_HOST=http://...",
        "kubectl --namespace kubeflow annotate serviceaccount pipeline-runner eks.amazonaws.com/role-arn=ARN",
        "kubectl --namespace kubeflow port-forward service/captions-metadata 3306 &",
        "export METADATA_USER=captions METADATA_PASSWORD=...",
        "caption-pipeline compare --config mine.yaml --set metadata=mysql://127.0.0.1/captions_metadata "
        "root=/captions/mine",
        "caption-pipeline kubeflow logs RUN",
        "caption-pipeline kubeflow logs RUN Trainer",
        "caption-pipeline kubeflow run --config mine.yaml --param trainer.epochs=10 --wait",
        "caption-pipeline kubeflow run --config my.yaml --param trainer.epochs=3 data.dir=/captions/data",
        "caption-pipeline kubeflow run --config my.yaml --wait",
        "caption-pipeline kubeflow runs --config mine.yaml",
        "caption-pipeline kubeflow runs --config my.yaml --limit 3",
        "caption-pipeline kubeflow schedule --config mine.yaml --list",
        'caption-pipeline kubeflow schedule --config mine.yaml --name nightly --cron "0 3 * * *"',
        "caption-pipeline kubeflow schedule --config mine.yaml --name nightly --pause",
        "caption-pipeline kubeflow schedule --config my.yaml --list",
        'caption-pipeline kubeflow schedule --config my.yaml --name nightly --cron "0 3 * * *" '
        "--param trainer.epochs=3",
        "caption-pipeline kubeflow schedule --config my.yaml --name nightly --pause",
    ],
    "needs Java and a Spark cluster: tests/spark, make test-spark": [
        "make spark-up",
        "make spark-down",
        "make test-spark",
        "caption-pipeline run --config my.yaml --config pipeline/configs/overlays/spark.yaml",
        "caption-pipeline run --config pipeline/configs/sample.yaml --config pipeline/configs/overlays/spark.yaml",
    ],
    "needs a bucket, and Amazon's program; tests/e2e/test_bucket.py runs the program's own": [
        "aws s3api put-bucket-lifecycle-configuration --bucket BUCKET --lifecycle-configuration file://lifecycle.json",
        "aws s3 sync DIRECTORY s3://BUCKET/data",
        "caption-pipeline inspect s3://BUCKET/data",
        "caption-pipeline lineage s3://BUCKET/mine/serving --config my.yaml",
        "caption-pipeline run --config mine.yaml",
        "caption-pipeline caption --model s3://BUCKET/captions/serving one.jpg",
        "caption-pipeline run --config mine.yaml --set metadata=mysql://HOST/captions",
    ],
    "needs TensorFlow Serving": [
        "tensorflow_model_server --model_base_path=$PWD/runs/sample/serving --model_name=captions",
    ],
    "needs weights, which are not in the repository": [
        "caption-pipeline run --config pipeline/configs/rsicd.yaml --set data.dir=DIRECTORY "
        "feature_extractor.weights=mobilenet_0.75_224_notop.weights.h5",
        "caption-pipeline run --config my.yaml --set feature_extractor.backbone=ViTBackbone "
        "feature_extractor.weights=vit_base",
    ],
    "needs certain versions; tests/e2e/test_run.py rolls back": [
        "caption-pipeline rollback --config my.yaml",
        "caption-pipeline rollback --config my.yaml --to 1764200000",
    ],
    "trains on the whole sample, which is what make run does; tests/e2e runs it on the debug config": [
        "caption-pipeline run",
    ],
    "trains, or measures the machine, for minutes on a busy one; tests/e2e carries out the like with other settings": [
        "caption-pipeline init images/flickr8k --output flickr8k.yaml",
        "caption-pipeline init DIRECTORY --output my.yaml",
        "caption-pipeline run --config flickr8k --set data.dir=DIRECTORY",
        "caption-pipeline run --config my.yaml --config overlay.yaml --set trainer.epochs=3 trainer.model.num_heads=4",
        "caption-pipeline run --config my.yaml --set data.max_images=1000 trainer.epochs=3 "
        "trainer.optimizer.warmup_steps=20",
        "caption-pipeline run --config pipeline/configs/flickr8k.yaml --set data.dir=images/flickr8k --root runs/mine",
        "caption-pipeline run --from Trainer --no-cache",
    ],
    "asks before it deletes; tests/pipeline/cli/test_features.py answers": [
        "caption-pipeline features gc --config my.yaml --keep-last 5",
    ],
}


def code_blocks(page: pathlib.Path) -> list[tuple[str, str]]:
    """The (language, text) of a page's code blocks; lines that continue are joined."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands_in(page: pathlib.Path) -> list[str]:
    """The commands of a page's shell blocks in their order, without prompts and comments.

    Shell blocks are those without a language and those of sh and console; usages and output are ```text. Where a block
    has prompts, its other lines are output.
    """
    commands = []
    for language, block in code_blocks(page):
        if language in ("", "sh", "console"):
            lines = block.splitlines()
            lines = [line[2:] for line in lines if line.startswith("$ ")] or lines
            for line in lines:
                commands += [part.strip() for part in re.split(r"\s+#\s", line)[0].split("&&") if part.strip()]
    return commands


def documented_commands() -> list[str]:
    """The commands of all pages, each once."""
    return list(dict.fromkeys(command for page in PAGES for command in commands_in(page)))


def executable_commands() -> list[str]:
    """The commands that need nothing but this machine: all that are not listed."""
    listed = {command for commands in NOT_EXECUTED.values() for command in commands}
    return [command for command in documented_commands() if command not in listed]
