import http.server
import socket
import threading
import time

import pytest

from components.feature_extractor.backbones import imagenet_weights
from components.feature_extractor.backbones.imagenet_weights import FILES, answers, are_available, cache_path


class Handler(http.server.BaseHTTPRequestHandler):
    """Has one file."""

    def do_HEAD(self):
        self.send_response(200 if self.path == "/weights.h5" else 404)
        self.end_headers()

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def url():
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_file_that_is_there_is_an_answer(url):
    assert answers(f"{url}/weights.h5")
    assert not answers(f"{url}/other.h5")


def test_a_host_that_is_away_or_silent_is_none():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}/weights.h5", seconds=0.1)
        assert time.monotonic() - start < 5
        port = silent.getsockname()[1]
    assert not answers(f"http://127.0.0.1:{port}/weights.h5")
    assert not answers("nowhere")


@pytest.mark.parametrize("backbone", FILES)
def test_the_cache_comes_first_and_then_the_url_of_keras(backbone, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(imagenet_weights, "answers", lambda url: asked.append(url) or len(asked) > 1)
    assert [are_available(backbone), are_available(backbone)] == [False, True]
    assert asked[0].startswith("https://") and asked[0].endswith(f"/{FILES[backbone]}")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / FILES[backbone]).touch()
    assert cache_path(FILES[backbone]) == str(tmp_path / "models" / FILES[backbone])
    assert are_available(backbone) and len(asked) == 2
