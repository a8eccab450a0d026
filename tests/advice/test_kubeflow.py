"""What errors of the commands for a cluster advise, done as far as no cluster is needed."""

import re

import pytest
from captions_kubeflow import compiler, cron, graph, vertex
from captions_kubeflow.cluster_paths import on_cluster
from captions_kubeflow.output import output_file
from captions_kubeflow.parameters import PARAMETERS, parse_arguments
from google.protobuf import json_format

from pipeline import database
from pipeline.config_files import load
from tests.messages import refusal


def accepts(*overrides: str) -> bool:
    return bool(on_cluster(load(None, list(overrides))))


def test_a_root_without_a_volume_is_in_a_bucket():
    settings = ["kubeflow.pvc_name=", "data.dir=/data"]
    with refusal("…: the steps have no volume (kubeflow.pvc_name); set …=…BUCKET/NAME, or …") as advice:
        accepts(*settings)
    for bucket in (advice[2], advice[3]):
        assert accepts(*settings, f"{advice[0]}={bucket}captions/mine")


def test_paths_are_on_the_volume():
    with refusal("…: … is not on the steps' volume, which is mounted at …") as advice:
        accepts("root=/elsewhere/mine", "data.dir=/captions/data")
    root = f"{advice[0]}={advice[2]}/mine"
    assert accepts(root, "data.dir=/captions/data")
    with refusal("root: … is the volume itself; name a directory on it, as …") as advice:
        accepts("root=/captions", "data.dir=/captions/data")
    assert accepts(f"root={advice[1]}", "data.dir=/captions/data")


def test_a_store_that_the_steps_do_not_know_is_exchanged_or_mounted():
    with refusal("…: the steps can't use …; write …, or mount it on the volume") as advice:
        accepts("data.dir=abfs://bucket/data")
    for bucket in advice[2].split(" or "):
        assert accepts(advice[1].replace("abfs://", f"{advice[0]}={bucket}"))
    assert accepts(f"{advice[0]}=/captions/bucket/data")


def test_credentials_are_in_the_secret():
    message = (
        "… would be readable in the compiled pipeline; put credentials into the Secret of kubeflow.storage_secret, and "
        "name them in kubeflow.storage_secret_keys"
    )
    for name, value in (("AWS_SECRET_ACCESS_KEY", "marked-secret"), ("HTTPS_PROXY", "http://me:marked-secret@proxy")):
        with refusal(message) as advice:
            accepts(f"kubeflow.environment.{name}={value}")
        assert advice[0].endswith(name)
    assert accepts("kubeflow.storage_secret=mine", "kubeflow.storage_secret_keys=[AWS_SECRET_ACCESS_KEY]")
    assert accepts("kubeflow.environment={AWS_WEB_IDENTITY_TOKEN_FILE: /var/token, AWS_REGION: eu-west-1}")


def test_metadata_is_on_a_server_or_left_to_the_default():
    with refusal(
        "metadata: the steps share no file of SQLite; write mysql://HOST[:PORT]/DATABASE, or null for that of "
        "kubeflow.database"
    ):
        accepts("metadata=sqlite:////captions/metadata.sqlite")
    for uri in ("mysql://HOST/DATABASE", "mysql://HOST:3307/DATABASE", "null"):
        assert accepts(f"metadata={uri}")


def test_vertex_takes_a_root_in_google_cloud_storage_and_a_plain_name(tmp_path):
    path = str(tmp_path / "p.json")
    message = "root: Vertex AI's steps only share Google Cloud Storage; set root=gs://BUCKET/NAME"
    with refusal(message):
        vertex.compile_to(load(), path)
    [root] = re.findall(r"set (root=\S+)", message)
    root = root.replace("BUCKET", "b").replace("NAME", "n")
    with refusal("Vertex AI can't run it: …"):
        vertex.compile_to(load(None, [root, "name=My.Captions_2"]), path)
    vertex.compile_to(load(None, [root, "name=my-captions-2"]), path)


def test_an_output_file_has_one_of_the_suffixes_in_a_directory_that_exists(tmp_path):
    def write(path: str) -> None:
        with output_file(path, [".yaml", ".json"]) as partial, open(partial, "w") as file:
            file.write("compiled")

    with refusal("--output …: must end with …") as advice:
        write(f"{tmp_path}/p.txt")
    for suffix in advice[1].split(" or "):
        write(f"{tmp_path}/p{suffix}")
    with refusal("--output …: … is not a directory") as advice:
        write(f"{tmp_path}/new/p.yaml")
    (tmp_path / "new").mkdir()
    write(advice[0])
    (tmp_path / "directory.yaml").mkdir()
    with refusal("--output …: can't be written (…)"):
        write(f"{tmp_path}/directory.yaml")
    assert (tmp_path / "new" / "p.yaml").read_text() == "compiled"


def test_a_parameter_is_one_of_those_with_a_value_of_its_type():
    message = "--param …: write KEY=VALUE, as in --param trainer.epochs=3"
    with refusal(message):
        parse_arguments(["trainer.epochs"])
    assert parse_arguments([message.rpartition("--param ")[2]]) == {"trainer_epochs": 3}
    with refusal("unknown parameter …; the parameters are …") as advice:
        parse_arguments(["trainer.seed=3"])
    for name in advice[1].split(", "):
        assert parse_arguments([f"{name}=1"])
    assert len(advice[1].split(", ")) == len(PARAMETERS)
    with refusal("…: … is not of type …") as advice:
        parse_arguments(["trainer.epochs=many"])
    assert advice[2] == "int" and parse_arguments([f"{advice[0]}=7"]) == {"trainer_epochs": 7}


def test_a_time_that_is_written_differently_is_understood():
    example = "--cron …: write minute, hour, day of month, month, day of week, as in '0 3 * * *'"
    with refusal(example):
        cron.to_six_fields("0 3 * *")
    assert cron.to_six_fields(example.rpartition("as in ")[2].strip("'")) == "0 0 3 * * *"
    with refusal("--cron …: KFP's scheduler supports only *, numbers, names, lists, ranges and steps"):
        cron.to_six_fields("0 3 L * *")
    for day in ("*", "7", "1,15", "1-7", "*/2"):
        assert cron.to_six_fields(f"0 3 {day} * *")
    with refusal("--cron …: KFP's scheduler has no weekday 7 in lists and ranges; Sunday is 0"):
        cron.to_six_fields("0 3 * * 5-7")
    assert cron.to_six_fields("0 3 * * 5,6,0")
    with refusal("--cron …: KFP's scheduler has no ranges that end before they begin; write a list"):
        cron.to_six_fields("0 22-2 * * *")
    assert cron.to_six_fields("0 22,23,0,1,2 * * *")
    with refusal("--cron …: the time never occurs"):
        cron.next_times("0 3 30 2 *", "UTC")
    zone = "--time-zone …: unknown time zone; use an IANA name, as in UTC"
    with refusal(zone):
        cron.next_times("0 3 28 2 *", "MEZ?")
    assert cron.next_times("0 3 28 2 *", zone.rpartition(" ")[2])


@pytest.mark.slow
def test_a_step_of_the_list_and_a_quantity_are_accepted(tmp_path):
    def compile_with(*overrides: str) -> None:
        compiler.compile_to(load(None, list(overrides)), str(tmp_path / "p.yaml"))

    with refusal("kubeflow.step_resources: unknown step …; the steps are …") as advice:
        compile_with("kubeflow.step_resources.Traner.cpu=4")
    assert "Trainer" in advice[1].split(", ")
    with refusal("kubeflow.…: …") as advice:
        compile_with("kubeflow.step_resources.Trainer.memory=lots")
    assert advice[0] == "step_resources.Trainer"
    compile_with(f"kubeflow.{advice[0]}.memory=8Gi")


@pytest.mark.slow
def test_a_pipeline_that_is_compiled_again_fits_the_code(monkeypatch):
    ir, _ = compiler.compile_graph(load(None, ["root=/captions/x"]))
    before = graph.to_text(ir)
    monkeypatch.setattr(graph, "code_hash", lambda: "other")
    with refusal(
        "the pipeline was compiled from code …, but the image contains code …: build the image from the code that you "
        "compile the pipeline with, or compile and upload the pipeline again"
    ):
        graph.from_text(before)
    again = graph.from_text(graph.to_text(ir))
    assert json_format.MessageToDict(again) == json_format.MessageToDict(ir)  # messages of equal bytes in any order


def test_a_step_has_the_variables_that_the_error_names():
    connection = database.connection_of("mysql://db/mlmd")
    with refusal(
        "… not set: ML Metadata at … needs user and password in the environment, a step of a cluster from its Secret"
    ) as advice:
        database.new_handle(connection, {})
    environment = dict.fromkeys(advice[0].split(", "), "captions")
    assert database.new_handle(connection, environment).connection_config.mysql.user == "captions"
