"""A run, and the commands about earlier runs, with ML Metadata on a server and the root in a bucket."""

import json
import subprocess
import sys

import pytest

from components.shared import storage
from pipeline import sample_data
from pipeline.cli.main import main
from pipeline.database import connection_of, new_handle
from tests.factories import ROOT
from tests.fake_mlmd import PIPELINE, write_history
from tests.mysql.conftest import PASSWORD


@pytest.fixture(params=["disk", "bucket"])
def root(request, tmp_path, uri) -> str:
    """A root with two pushed models, whose history is on the server."""
    place = str(tmp_path / "root") if request.param == "disk" else f"{request.getfixturevalue('bucket')}/captions"
    with new_handle(connection_of(uri)) as handle:
        write_history(place, handle.store)
    return place


def test_the_commands_read_and_write_what_is_on_the_server(root, uri, capsys):
    settings = ["--root", root, "--set", f"name={PIPELINE}", f"metadata={uri}"]
    assert main(["compare", *settings]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert rows["decision"] == ["blessed", "blessed"] and rows["decoding.beam_size"] == ["1", "2"]
    assert main(["lineage", f"{root}/serving", *settings]) == 0
    assert "beam_size 2" in capsys.readouterr().out
    assert main(["features", *settings]) == 0
    assert main(["features", "--root", root, "--set", f"metadata={uri}", "--also-metadata", uri]) == 0
    capsys.readouterr()
    assert main(["rollback", *settings]) == 0
    newest = max(storage.list_names(f"{root}/serving"), key=int)
    assert storage.read_text(f"{root}/serving/{newest}/saved_model.pb") == "one"
    assert "Rolled back to 1 (pushed as" in capsys.readouterr().out
    assert main(["lineage", f"{root}/serving/{newest}", *settings, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rollback"].startswith(f"version {newest}, the model of 1, is served")


def test_a_run_on_bucket_and_server_shows_no_secret_anywhere(server, database, uri, s3, bucket, tmp_path):
    sample_data.write(tmp_path / "data", 60, seed=7)
    settings = [f"metadata={uri}", f"data.dir={tmp_path / 'data'}"]
    arguments = ["--config", "debug", "--root", f"{bucket}/captions", "--set", *settings]

    def run(command: str, *more: str) -> str:
        process = subprocess.run(
            [sys.executable, ROOT / "local_runner.py", command, *arguments, *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout + process.stderr

    output = run("run", "--to", "ExampleValidator", "--verbose")
    assert run("run", "--to", "ExampleValidator").count(" cached") == 4
    output += run("stats", "--output", str(tmp_path / "statistics.html")) + run("features")
    objects = {name: storage.read_bytes(f"{bucket}/{name}") for name in storage.list_files(bucket)}
    assert any(name.endswith("summary.json") for name in objects) and any(name.endswith("log.txt") for name in objects)
    dump, page = server.dump(database), (tmp_path / "statistics.html").read_text()
    assert f"{bucket}/captions/artifacts" in dump
    for secret in (PASSWORD, s3["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in output and secret not in dump and secret not in page
        assert not [name for name, content in objects.items() if secret.encode() in content]
