"""The compiled YAML. tests/cluster runs it on a server."""

import dataclasses
import itertools
import pathlib

import pytest
import yaml
from captions_kubeflow import compiler, graph
from captions_kubeflow.parameters import PARAMETERS, parameter_name

from pipeline.config import ConfigError, KubeflowSettings
from pipeline.config_files import load
from pipeline.errors import UserError

GIBI = 2**30 / 1e9  # KFP uses GB


class Compiled:
    """A compiled pipeline, taken apart."""

    def __init__(self, path: pathlib.Path, *overrides: str, file: pathlib.Path | None = None):
        self.file = file
        self.config = load(file, overrides)
        self.parameters = compiler.compile_to(self.config, str(path))
        self.text = path.read_text()
        self.spec, platform = yaml.safe_load_all(self.text)
        self.inputs = self.spec["root"]["inputDefinitions"]["parameters"]
        tasks = self.spec["root"]["dag"]["tasks"]
        self.tasks = {task["taskInfo"]["name"]: task for task in tasks.values()}
        self.labels = {
            name: self.spec["components"][task["componentRef"]["name"]]["executorLabel"]
            for name, task in self.tasks.items()
        }
        self.executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.ir = graph.from_text(self.inputs["graph"]["defaultValue"])
        self.nodes = [node.pipeline_node for node in self.ir.nodes]

    def container(self, step: str) -> dict:
        return self.spec["deploymentSpec"]["executors"][self.labels[step]]["container"]

    def platform(self, step: str) -> dict:
        return self.executors[self.labels[step]]

    def arguments(self, step: str, name: str) -> list[str]:
        """The values of an option, one per occurrence."""
        args = self.container(step)["args"]
        return [value for option, value in itertools.pairwise(args) if option == name]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Compiled:
    return Compiled(tmp_path_factory.mktemp("sample") / "sample.yaml")


@pytest.fixture(scope="module")
def special(tmp_path_factory) -> Compiled:
    """A pipeline with every cluster setting set."""
    trainer = "{cpu: 500m, memory: 16Gi, gpu: 2, gpu_type: amd.com/gpu, node_selector: {pool: gpu, disk: ssd}"
    return Compiled(
        tmp_path_factory.mktemp("special") / "special.yaml",
        "name=My.Captions_2",
        "kubeflow.image=registry.example/captions:7",
        "kubeflow.pvc_name=claim",
        "kubeflow.mount_path=/mnt",
        "kubeflow.database={host: db, port: 3307, name: mlmd, secret: db-secret}",
        f"kubeflow.step_resources.Trainer={trainer}, retries: 5, timeout: 3600}}",
        "kubeflow.step_resources.Pusher={retries: 0}",
        "trainer.epochs=4",
        "evaluator.min_bleu_4_improvement=-0.25",
        "data.dir=/mnt/data",
    )


def test_each_node_is_a_container_that_runs_it(sample):
    names = [node.node_info.id for node in sample.nodes]
    assert sorted(sample.tasks) == sorted(names) and len(set(sample.labels.values())) == 12
    for name in names:
        container = sample.container(name)
        assert container["image"] == "captions:latest"
        assert container["command"] == ["python", "-m", "captions_kubeflow.run_node"]
        assert sample.arguments(name, "--node") == [name]


def test_a_task_waits_for_what_the_graph_says(sample):
    by_task = {task["componentRef"]["name"].removeprefix("comp-"): name for name, task in sample.tasks.items()}
    for node in sample.nodes:
        waits_for = sample.tasks[node.node_info.id].get("dependentTasks", [])
        assert {by_task[task] for task in waits_for} == set(node.upstream_nodes)
    assert sample.tasks["Pusher"]["dependentTasks"]


def test_kfp_caches_nothing(sample):
    for task in sample.tasks.values():
        assert not task["cachingOptions"].get("enableCache")


def test_the_graph_is_stored_once_and_each_step_gets_it(sample):
    text = sample.inputs["graph"]["defaultValue"]
    assert sample.spec["root"]["inputDefinitions"]["parameters"]["graph"]["defaultValue"] == text
    document = sample.text[sample.text.index("\ncomponents:") :]  # after the comments
    assert document.count(text) == 1
    for name, task in sample.tasks.items():
        assert sample.arguments(name, "--graph") == ["{{$.inputs.parameters['graph']}}"]
        assert task["inputs"]["parameters"]["graph"] == {"componentInputParameter": "graph"}


def test_the_graph_is_the_pipelines(sample):
    config = compiler.on_cluster(sample.config)
    assert graph.to_text(sample.ir) == graph.to_text(compiler.compile_graph(config)[0])
    assert sample.ir.pipeline_info.id == "sample"


def test_the_run_id_is_that_of_the_workflow(sample):
    for name in sample.tasks:
        assert sample.arguments(name, "--run-id") == ["{{workflow.uid}}"]


def test_parameters_have_the_configs_values_as_defaults(sample, special):
    assert [parameter.name for parameter in sample.parameters] == [parameter_name(key) for key in PARAMETERS]
    values = {name: definition["defaultValue"] for name, definition in special.inputs.items() if name != "graph"}
    assert values == {
        "data_dir": "/mnt/data",
        "data_max_images": 0,
        "data_max_reject_fraction": 0.01,
        "feature_extractor_backbone": "InceptionV3",
        "feature_extractor_weights": "random",
        "trainer_epochs": 4,
        "evaluator_min_bleu_4": 0.5,
        "evaluator_min_bleu_4_improvement": -0.25,
    }
    assert {parameter.name: parameter.default for parameter in special.parameters} == values
    assert sample.inputs["data_dir"]["defaultValue"] == "/captions/sample/sample_data"


def test_parameters_are_typed(sample):
    types = {str: "STRING", int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE"}
    for key, kind in PARAMETERS.items():
        assert sample.inputs[parameter_name(key)]["parameterType"] == types[kind]
    for parameter in sample.parameters:
        assert type(parameter.default) is parameter.type


def test_a_step_gets_its_own_parameters(sample):
    def parameters_of(step: str) -> dict[str, str]:
        args = sample.container(step)["args"]
        return {args[i + 1]: args[i + 2] for i, option in enumerate(args) if option == "--param"}

    assert parameters_of("Trainer") == {"trainer_epochs": "{{$.inputs.parameters['trainer_epochs']}}"}
    assert set(parameters_of("BleuEvaluator")) == {"evaluator_min_bleu_4", "evaluator_min_bleu_4_improvement"}
    assert parameters_of("Pusher") == parameters_of("Exporter") == {}
    passed = [name for step in sample.tasks for name in parameters_of(step)]
    assert sorted(passed) == sorted(parameter.name for parameter in sample.parameters)


def test_the_evaluator_shows_metrics_and_the_report_itself(sample):
    kinds = {"BleuEvaluator": {"metrics": "system.Metrics"}, "Report": {"html": "system.HTML"}}
    for name, task in sample.tasks.items():
        outputs = sample.spec["components"][task["componentRef"]["name"]].get("outputDefinitions", {"artifacts": {}})
        assert sample.arguments(name, "--executor-input") == (["{{$}}"] if name in kinds else [])
        types = {key: artifact["artifactType"]["schemaTitle"] for key, artifact in outputs["artifacts"].items()}
        assert types == kinds.get(name, {})


def test_the_database_is_an_argument_and_its_password_in_a_secret(sample, special):
    for name in special.tasks:
        assert sample.arguments(name, "--metadata") == ["mysql://captions-metadata:3306/captions_metadata"]
        assert special.arguments(name, "--metadata") == ["mysql://db:3307/mlmd"]
        assert "env" not in special.container(name)
        [secret] = special.platform(name)["secretAsEnv"]
        assert secret["secretName"] == "db-secret"
        assert {key["envVar"]: key["secretKey"] for key in secret["keyToEnv"]} == {
            "METADATA_USER": "user",
            "METADATA_PASSWORD": "password",
        }
    for text in (sample.text, special.text):  # only the Secret's key occurs
        lines = [line.strip() for line in text.splitlines() if "password" in line.lower()]
        assert set(lines) == {"- envVar: METADATA_PASSWORD", "secretKey: password"}


def test_each_step_mounts_the_volume_and_has_scratch_there(sample, special):
    for name in special.tasks:
        [mount] = special.platform(name)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("claim", "/mnt")
        assert special.arguments(name, "--scratch") == ["/mnt/My.Captions_2/scratch"]
        [mount] = sample.platform(name)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("captions", "/captions")


def test_a_step_gets_its_own_resources(special):
    resources = special.container("Trainer")["resources"]
    assert (resources["cpuRequest"], resources["cpuLimit"]) == (0.5, 0.5)
    for memory in (resources["memoryRequest"], resources["memoryLimit"]):
        assert memory == pytest.approx(16 * GIBI)
    assert resources["accelerator"]["type"] == "amd.com/gpu" and int(resources["accelerator"]["count"]) == 2
    assert special.platform("Trainer")["nodeSelector"]["labels"] == {"pool": "gpu", "disk": "ssd"}
    assert special.tasks["Trainer"]["retryPolicy"]["maxRetryCount"] == 5
    assert int(special.platform("Trainer")["activeDeadlineSeconds"]) == 3600
    assert special.platform("Trainer")["secretAsEnv"] and special.platform("Trainer")["pvcMount"]
    assert special.container("Trainer")["image"] == "registry.example/captions:7"


def test_unset_resources_are_left_to_the_cluster(special):
    assert "resources" not in special.container("Pusher")
    assert not special.tasks["Pusher"].get("retryPolicy")
    for key in ("nodeSelector", "activeDeadlineSeconds"):
        assert key not in special.platform("Pusher")


def test_the_other_steps_get_the_default(sample, special):
    for compiled, name in ((sample, "Pusher"), (special, "CaptionIngest")):
        resources = compiled.container(name)["resources"]
        assert resources["cpuLimit"] == 1 and resources["memoryLimit"] == pytest.approx(4 * GIBI)
        assert "accelerator" not in resources
        retries = compiled.tasks[name]["retryPolicy"]
        assert (retries["maxRetryCount"], retries["backoffDuration"], retries["backoffFactor"]) == (2, "10s", 2)
        # counted from the first attempt: with KFP's hour, long steps would have no retries
        assert retries["backoffMaxDuration"] == "31536000s"
    assert sample.container("Trainer")["resources"]["memoryLimit"] == pytest.approx(8 * GIBI)


@pytest.mark.parametrize(
    ("name", "kfp_name"), [("sample", "sample"), ("My.Captions_2", "my-captions-2"), ("a_.-", "a")]
)
def test_kfp_accepts_the_name(tmp_path, name, kfp_name):
    assert Compiled(tmp_path / "p.yaml", f"name={name}").spec["pipelineInfo"]["name"] == kfp_name


def test_comparison_models_have_steps_of_their_own_with_the_candidates_resources(tmp_path):
    compiled = Compiled(
        tmp_path / "p.yaml",
        "trainer.comparison_models=[{name: gru}, {name: gru, units: 64}]",
        "kubeflow.step_resources={Trainer: {memory: 16Gi}, Trainer_gru_2: {memory: 2Gi}}",
    )
    steps = ("Trainer", "Trainer_gru", "Trainer_gru_2")
    memory = [compiled.container(step)["resources"]["memoryLimit"] for step in steps]
    assert memory == pytest.approx([16 * GIBI, 16 * GIBI, 2 * GIBI])
    assert compiled.container("Exporter_gru")["resources"]["memoryLimit"] == pytest.approx(4 * GIBI)
    for step in steps:
        assert compiled.arguments(step, "--param") == ["trainer_epochs"]
    assert {"exporter", "exporter-gru", "exporter-gru-2"} <= set(compiled.tasks["BleuEvaluator"]["dependentTasks"])


def test_kfp_knows_the_pipeline_by_its_name(special):
    assert special.spec["pipelineInfo"]["name"] == "my-captions-2"
    assert special.ir.pipeline_info.id == "My.Captions_2"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["kubeflow.step_resources.Trainr={cpu: '4'}"],
            "kubeflow.step_resources: unknown step Trainr; .*Trainer",
        ),
        (["kubeflow.step_resources.Trainer={cpu: lots}"], r"kubeflow\.step_resources\.Trainer: .*cpu"),
        (["kubeflow.default_resources={memory: much}"], r"kubeflow\.default_resources: .*memory"),
        (["root=/elsewhere"], "root: /elsewhere is not on the steps' volume, which is mounted at /captions"),
        (["root=/captions-too/x"], "root: /captions-too/x is not on the steps' volume"),
        (["root=/captions/../x"], "root: /x is not on the steps' volume"),
        (["root=/captions/"], "root: /captions/ is the volume itself; name a directory on it, as /captions/sample"),
        (["root=/captions/a[1]"], r"root: /captions/a\[1\] must not contain"),
        (["root=abfs://b/x"], "root: the steps can't use abfs://b/x; write s3:// or gs://, or mount it on the volume"),
        (["data.dir=memory://b/x"], "data.dir: the steps can't use memory://b/x; write s3:// or gs://, or mount"),
        (["data.dir=/data"], "data.dir: /data is not on the steps' volume, which is mounted at /captions"),
        (["data.dir=data"], "data.dir: .*/data is not on the steps' volume"),
        (["feature_extractor.store_dir=/store"], "feature_extractor.store_dir: /store is not on the steps' volume"),
        (["evaluator.spice_dir=/models"], "evaluator.spice_dir: /models is not on the steps' volume"),
        (["evaluator.clip_dir=/clip"], "evaluator.clip_dir: /clip is not on the steps' volume"),
        (["feature_extractor.store_dir=hdfs://b/s"], "feature_extractor.store_dir: the steps can't use hdfs://b/s"),
        (["feature_extractor.weights=/w.h5"], "feature_extractor.weights: /w.h5 is not on the steps' volume"),
        (["feature_extractor.weights=hf://b/w.h5"], "feature_extractor.weights: the steps can't use hf://b/w.h5"),
        (
            ["kubeflow.pvc_name="],
            r"root: the steps have no volume \(kubeflow.pvc_name\); set root=s3://BUCKET/NAME, or",
        ),
        (["kubeflow.pvc_name=null"], "root: the steps have no volume"),
        (["metadata=sqlite:///x.sqlite"], "metadata: the steps share no file of SQLite; write mysql://HOST"),
        (
            ["kubeflow.pvc_name=", "root=s3://b/x", "data.dir=azure://b/x"],
            "data.dir: the steps can't use azure://b/x; write s3:// or gs://",
        ),
        (
            ["kubeflow.pvc_name=", "root=gs://b/x", "feature_extractor.store_dir=/s", "data.dir=/d"],
            r"feature_extractor.store_dir: the steps have no volume",
        ),
    ],
)
def test_what_can_not_run_on_a_cluster_is_rejected(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        compiler.compile_to(load(None, overrides), str(tmp_path / "rejected.yaml"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "overrides",
    [
        ["root=/captions/deep/er"],
        ["root=gs://bucket/x", "data.dir=/captions/d"],
        ["root=s3://bucket/x", "data.dir=s3://other/d", "feature_extractor.weights=s3://other/w.h5"],
        ["feature_extractor.weights=/captions/w.h5", "feature_extractor.store_dir=s3://bucket/store"],
        ["kubeflow.pvc_name=", "root=gs://bucket/x", "data.dir=/in/the/image", "feature_extractor.weights=/also/w.h5"],
    ],
)
def test_what_the_steps_can_read_is_accepted(overrides):
    config = load(None, overrides)
    assert compiler.on_cluster(config).root == (config.root or "/captions/sample")


def test_the_default_root_is_on_the_volume():
    mounted = dataclasses.replace(load(), kubeflow=KubeflowSettings(mount_path="/mnt"))
    assert compiler.on_cluster(mounted).root == "/mnt/sample"


def test_no_path_is_valid_without_a_volume():
    bare = dataclasses.replace(load(), kubeflow=KubeflowSettings(pvc_name=None))
    for root in (None, "/captions/x"):
        with pytest.raises(ConfigError, match="the steps have no volume"):
            compiler.on_cluster(dataclasses.replace(bare, root=root))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory) -> Compiled:
    """A pipeline on a bucket and nothing else, with everything set that leads to it."""
    file = tmp_path_factory.mktemp("bucket") / "mine.yaml"
    file.write_text(
        "root: s3://bucket/mine\n"
        "metadata: mysql://db:3307/mlmd\n"
        "data: {dir: s3://bucket/data}\n"
        "kubeflow:\n"
        "  pvc_name: null\n"
        "  storage_secret: storage\n"
        "  service_account: captions-steps\n"
        "  environment: {AWS_ENDPOINT_URL_S3: 'http://minio:9000', AWS_REGION: eu-west-1}\n"
    )
    return Compiled(file.parent / "bucket.yaml", file=file)


def test_in_a_bucket_no_step_has_a_volume(bucket):
    for word in ("pvc", "persistentvolume", "mount", "--scratch", "/captions", "asvolume"):
        assert word not in bucket.text.lower()
    assert bucket.inputs["data_dir"]["defaultValue"] == "s3://bucket/data"


def test_each_step_has_what_leads_it_to_the_bucket_and_no_secret(bucket):
    for name in bucket.tasks:
        environment = {variable["name"]: variable["value"] for variable in bucket.container(name)["env"]}
        assert environment == {"AWS_ENDPOINT_URL_S3": "http://minio:9000", "AWS_REGION": "eu-west-1"}
        secrets = {secret["secretName"]: secret["keyToEnv"] for secret in bucket.platform(name)["secretAsEnv"]}
        keys = {each["envVar"]: each["secretKey"] for each in secrets["storage"]}
        assert keys == {name: name for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        assert {each["envVar"] for each in secrets["captions-metadata"]} == {"METADATA_USER", "METADATA_PASSWORD"}


def test_metadata_takes_the_place_of_the_clusters_database(bucket):
    for name in bucket.tasks:
        assert bucket.arguments(name, "--metadata") == ["mysql://db:3307/mlmd"]


def test_what_the_environment_has_at_compile_time_is_nowhere_in_the_pipeline(bucket, monkeypatch, tmp_path):
    for variable in ("METADATA_USER", "METADATA_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "marked-secret")
    again = Compiled(tmp_path / "again.yaml", file=pathlib.Path(bucket.file))
    assert again.text == bucket.text and "marked-secret" not in str(again.ir)


def test_a_key_file_of_google_is_mounted_from_the_secret(tmp_path):
    compiled = Compiled(
        tmp_path / "gs.yaml",
        "root=gs://bucket/x",
        "kubeflow.pvc_name=",
        "kubeflow.storage_secret=storage",
        "kubeflow.storage_secret_keys=[GOOGLE_APPLICATION_CREDENTIALS]",
    )
    [mount] = compiled.platform("Trainer")["secretAsVolume"]
    assert mount["secretName"] == "storage"
    path = f"{mount['mountPath']}/GOOGLE_APPLICATION_CREDENTIALS"
    assert compiled.container("Trainer")["env"] == [{"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": path}]
    assert [secret["secretName"] for secret in compiled.platform("Trainer")["secretAsEnv"]] == ["captions-metadata"]


def test_scratch_is_on_the_volume_even_if_the_root_is_not(tmp_path):
    compiled = Compiled(tmp_path / "gs.yaml", "root=gs://bucket/x", "data.dir=/captions/d")
    assert compiled.arguments("Trainer", "--scratch") == ["/captions/sample/scratch"]
    assert compiled.inputs["data_dir"]["defaultValue"] == "/captions/d"


def test_compilation_is_deterministic(sample, tmp_path):
    assert Compiled(tmp_path / "again.yaml").text == sample.text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p.json", "p.json: must end with .yaml or .yml"),
        ("p", "p: must end with .yaml or .yml"),
        ("nowhere/p.yaml", "nowhere is not a directory"),
        ("taken.yaml", "taken.yaml: can't be written"),
    ],
)
def test_a_file_that_can_not_be_written_is_rejected(tmp_path, name, message):
    (tmp_path / "taken.yaml").mkdir()
    with pytest.raises(UserError, match=f"--output .*{message}"):
        compiler.compile_to(load(), str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.yaml"]


def test_a_compilation_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("earlier")
    with pytest.raises(ConfigError):
        compiler.compile_to(load(None, ["kubeflow.default_resources={memory: much}"]), str(path))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("p.yaml", "earlier")]


def test_resources_are_merged_over_the_defaults(tmp_path):
    compiled = Compiled(
        tmp_path / "p.yaml",
        "kubeflow.default_resources.memory=8Gi",
        "kubeflow.step_resources.Trainer.gpu=1",
        "kubeflow.step_resources.FeatureExtractor=null",
    )
    pusher, trainer, extractor = (
        compiled.container(step)["resources"] for step in ("Pusher", "Trainer", "FeatureExtractor")
    )
    assert (pusher["cpuLimit"], pusher["memoryLimit"]) == (1, pytest.approx(8 * GIBI))
    assert (trainer["cpuLimit"], trainer["memoryLimit"]) == (4, pytest.approx(8 * GIBI))
    assert int(trainer["accelerator"]["count"]) == 1
    assert extractor == pusher
