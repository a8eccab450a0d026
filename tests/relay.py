"""A relay to the S3 server of the tests: it notes requests, and refuses some."""

import contextlib
import http.client
import http.server
import threading
import urllib.parse
from collections.abc import Callable, Iterator


class Relay(http.server.ThreadingHTTPServer):
    """Passes requests on to a server, and notes them.

    Attributes:
      url: its own endpoint.
      requests: (method, path without the bucket) of each request; a listing has the path "".
      fault: returns the status that a request is refused with; None passes it on.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, endpoint: str):
        super().__init__(("127.0.0.1", 0), _Relaying)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.address = urllib.parse.urlsplit(endpoint).netloc
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], int | None] = lambda method, path: None

    def read(self) -> list[str]:
        """The paths of the objects that were asked for since the last call, sorted; of a listing ""."""
        paths = sorted(path for _, path in self.requests)
        self.requests.clear()
        return paths


class _Relaying(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).lstrip("/").partition("/")[2]
        self.server.requests.append((self.command, path))
        if status := self.server.fault(self.command, path):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(self.server.address)
        connection.request(self.command, self.path, body, dict(self.headers))
        response = connection.getresponse()
        content = response.read()
        connection.close()
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "date", "server", "transfer-encoding"):
                self.send_header(name, value)
        if "Content-Length" not in response.headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def relay(endpoint: str) -> Iterator[Relay]:
    """Runs a relay to a server."""
    server = Relay(endpoint)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
