"""The compiled YAML. What a server makes of it is seen in tests/cluster."""

import dataclasses
import itertools
import pathlib

import pytest
import yaml
from captions_kubeflow import compiler, graph
from captions_kubeflow.parameters import PARAMETERS, parameter_name

from pipeline.config import ConfigError, Kubeflow, Resources, load

GIBI = 2**30 / 1e9  # KFP counts in GB


class Compiled:
    """A compiled pipeline, taken apart."""

    def __init__(self, path: pathlib.Path, *overrides: str):
        self.config = load(None, overrides)
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
        """What follows an option, each time that it is given."""
        args = self.container(step)["args"]
        return [after for option, after in itertools.pairwise(args) if option == name]


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Compiled:
    return Compiled(tmp_path_factory.mktemp("sample") / "sample.yaml")


@pytest.fixture(scope="module")
def special(tmp_path_factory) -> Compiled:
    """All that can be set is set."""
    trainer = "{cpu: 500m, memory: 16Gi, gpu: 2, gpu_type: amd.com/gpu, node_selector: {pool: gpu, disk: ssd}"
    return Compiled(
        tmp_path_factory.mktemp("special") / "special.yaml",
        "name=My.Captions_2",
        "kubeflow.image=registry.example/captions:7",
        "kubeflow.volume=claim",
        "kubeflow.mount=/mnt",
        "kubeflow.database={host: db, port: 3307, name: mlmd, secret: db-secret}",
        f"kubeflow.steps.Trainer={trainer}, retries: 5, timeout: 3600}}",
        "kubeflow.steps.Pusher={retries: 0}",
        "trainer.epochs=4",
        "evaluator.min_gain=-0.25",
        "data.dir=/mnt/data",
    )


def test_each_node_is_a_container_that_runs_it(sample):
    names = [node.node_info.id for node in sample.nodes]
    assert sorted(sample.tasks) == sorted(names) and len(set(sample.labels.values())) == 11
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


def test_the_graph_is_there_once_and_each_step_gets_it(sample):
    text = sample.inputs["graph"]["defaultValue"]
    assert sample.spec["root"]["inputDefinitions"]["parameters"]["graph"]["defaultValue"] == text
    document = sample.text[sample.text.index("\ncomponents:") :]  # above it are comments
    assert document.count(text) == 1
    for name, task in sample.tasks.items():
        assert sample.arguments(name, "--graph") == ["{{$.inputs.parameters['graph']}}"]
        assert task["inputs"]["parameters"]["graph"] == {"componentInputParameter": "graph"}


def test_the_graph_is_the_pipelines(sample):
    config = compiler.on_cluster(sample.config)
    assert graph.to_text(sample.ir) == graph.to_text(compiler.compile_graph(config)[0])
    assert sample.ir.pipeline_info.id == "sample"


def test_the_run_is_known_by_the_workflows_id(sample):
    for name in sample.tasks:
        assert sample.arguments(name, "--run-id") == ["{{workflow.uid}}"]


def test_parameters_have_the_configs_values_as_defaults(sample, special):
    assert [parameter.name for parameter in sample.parameters] == [parameter_name(key) for key in PARAMETERS]
    values = {name: definition["defaultValue"] for name, definition in special.inputs.items() if name != "graph"}
    assert values == {
        "data_dir": "/mnt/data",
        "data_limit": 0,
        "data_max_reject_fraction": 0.01,
        "feature_extractor_backbone": "InceptionV3",
        "feature_extractor_weights": "random",
        "trainer_epochs": 4,
        "evaluator_min_bleu_4": 0.5,
        "evaluator_min_gain": -0.25,
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
    def given(step: str) -> dict[str, str]:
        args = sample.container(step)["args"]
        return {args[i + 1]: args[i + 2] for i, option in enumerate(args) if option == "--param"}

    assert given("Trainer") == {"trainer_epochs": "{{$.inputs.parameters['trainer_epochs']}}"}
    assert set(given("BleuEvaluator")) == {"evaluator_min_bleu_4", "evaluator_min_gain"}
    assert given("Pusher") == {}
    passed = [name for step in sample.tasks for name in given(step)]
    assert sorted(passed) == sorted(parameter.name for parameter in sample.parameters)


def test_the_evaluator_shows_metrics_and_the_report_itself(sample):
    kinds = {"BleuEvaluator": {"metrics": "system.Metrics"}, "Report": {"html": "system.HTML"}}
    for name, task in sample.tasks.items():
        shows = sample.spec["components"][task["componentRef"]["name"]].get("outputDefinitions", {"artifacts": {}})
        assert sample.arguments(name, "--executor-input") == (["{{$}}"] if name in kinds else [])
        found = {key: artifact["artifactType"]["schemaTitle"] for key, artifact in shows["artifacts"].items()}
        assert found == kinds.get(name, {})


def test_the_database_is_in_the_environment_and_its_password_in_a_secret(sample, special):
    for name in special.tasks:
        environment = {each["name"]: each["value"] for each in special.container(name)["env"]}
        assert environment == {"METADATA_HOST": "db", "METADATA_PORT": "3307", "METADATA_DATABASE": "mlmd"}
        [secret] = special.platform(name)["secretAsEnv"]
        assert secret["secretName"] == "db-secret"
        assert {each["envVar"]: each["secretKey"] for each in secret["keyToEnv"]} == {
            "METADATA_USER": "user",
            "METADATA_PASSWORD": "password",
        }
    for text in (sample.text, special.text):  # the Secret's key is all that is said of it
        lines = [line.strip() for line in text.splitlines() if "password" in line.lower()]
        assert set(lines) == {"- envVar: METADATA_PASSWORD", "secretKey: password"}


def test_each_step_mounts_the_volume_and_has_scratch_there(sample, special):
    for name in special.tasks:
        [mount] = special.platform(name)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("claim", "/mnt")
        assert special.arguments(name, "--scratch") == ["/mnt/My.Captions_2/scratch"]
        [mount] = sample.platform(name)["pvcMount"]
        assert (mount["constant"], mount["mountPath"]) == ("captions", "/captions")


def test_a_step_gets_what_is_set_for_it(special):
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


def test_what_is_not_set_is_left_to_the_cluster(special):
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
        assert (
            retries["backoffMaxDuration"] == "31536000s"
        )  # counted from the first try, so that an hour ends long steps
    assert sample.container("Trainer")["resources"]["memoryLimit"] == pytest.approx(8 * GIBI)


@pytest.mark.parametrize(
    ("name", "kfp_name"), [("sample", "sample"), ("My.Captions_2", "my-captions-2"), ("a_.-", "a")]
)
def test_the_name_is_one_that_kfp_takes(name, kfp_name):
    assert compiler._kfp_name(name) == kfp_name


def test_kfp_knows_the_pipeline_by_its_name(special):
    assert special.spec["pipelineInfo"]["name"] == "my-captions-2"
    assert special.ir.pipeline_info.id == "My.Captions_2"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("kubeflow.steps.Trainr={cpu: '4'}", "kubeflow.steps: no step Trainr; the steps are CaptionIngest, .*Trainer"),
        ("kubeflow.steps.Trainer={cpu: lots}", r"kubeflow\.steps\.Trainer: .*cpu"),
        ("kubeflow.default={memory: much}", r"kubeflow\.default: .*memory"),
        ("root=/elsewhere", "root: /elsewhere is not on the steps' volume, which is mounted at /captions"),
        ("root=/captions-too/x", "root: /captions-too/x is not on the steps' volume"),
        ("kubeflow.volume=''", r"root: the steps have no volume \(kubeflow.volume\); give root=gs://"),
    ],
)
def test_what_can_not_run_on_a_cluster_is_refused(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        compiler.compile_to(load(None, [override]), str(tmp_path / "refused.yaml"))
    assert not list(tmp_path.iterdir())


def test_the_root_is_on_the_volume_or_in_an_object_store():
    config = load()
    assert compiler.on_cluster(config).root == "/captions/sample"
    for root in ("/captions/deep/er", "gs://bucket/x"):
        assert compiler.on_cluster(dataclasses.replace(config, root=root)).root == root
    mounted = dataclasses.replace(config, kubeflow=Kubeflow(mount="/mnt"))
    assert compiler.on_cluster(mounted).root == "/mnt/sample"


def test_no_path_is_right_without_a_volume():
    bare = dataclasses.replace(load(), kubeflow=Kubeflow(volume=None))
    for root in (None, "/captions/x"):
        with pytest.raises(ConfigError, match="the steps have no volume"):
            compiler.on_cluster(dataclasses.replace(bare, root=root))
    assert compiler.on_cluster(dataclasses.replace(bare, root="gs://bucket/x")).root == "gs://bucket/x"


def test_without_a_volume_nothing_is_mounted(tmp_path):
    cluster = Kubeflow(volume=None, steps={}, default=Resources())
    config = dataclasses.replace(load(None, ["root=gs://bucket/x"]), kubeflow=cluster)
    compiler.compile_to(config, str(tmp_path / "bare.yaml"))
    text = (tmp_path / "bare.yaml").read_text()
    assert "pvcMount" not in text and "--scratch" not in text and "secretAsEnv" in text


def test_scratch_is_on_the_volume_also_where_the_root_is_not(tmp_path):
    compiled = Compiled(tmp_path / "gs.yaml", "root=gs://bucket/x")
    assert compiled.arguments("Trainer", "--scratch") == ["/captions/sample/scratch"]
    assert compiled.inputs["data_dir"]["defaultValue"] == "gs://bucket/x/sample_data"


def test_two_compilations_are_alike(sample, tmp_path):
    assert Compiled(tmp_path / "again.yaml").text == sample.text
