"""Where ML Metadata is kept, as a URI without secrets: a file of SQLite, or a database of a MySQL or MariaDB server.

Nothing else is imported.
"""

import dataclasses
import os
import urllib.parse

_FILE = "sqlite:///"
_SERVER = "mysql"
DEFAULT_PORT = 3306


@dataclasses.dataclass(frozen=True)
class SqliteFile:
    """A file of SQLite, by its absolute path."""

    path: str

    def __str__(self) -> str:
        return f"{_FILE}{self.path}"


@dataclasses.dataclass(frozen=True)
class MysqlDatabase:
    """A database of a MySQL or MariaDB server."""

    host: str
    port: int
    name: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_SERVER}://{host}:{self.port}/{urllib.parse.quote(self.name, safe='')}"


def parse(uri: str) -> SqliteFile | MysqlDatabase:
    """Parses a URI in SQLAlchemy's form: three slashes before a relative path, four before an absolute one.

    Raises:
      ValueError: it is neither form, or it contains a user or a password; it is not shown, since it may hold a secret.
    """
    if uri.startswith(_FILE) and uri != _FILE:
        return SqliteFile(os.path.abspath(os.path.expanduser(uri.removeprefix(_FILE))))
    parts = urllib.parse.urlsplit(uri)
    if "@" in parts.netloc:
        raise ValueError(
            "a URI with a user or a password would show them in logs and reports; set METADATA_USER and "
            "METADATA_PASSWORD in the environment instead"
        )
    try:
        port = parts.port
    except ValueError:  # no number
        port = 0
    name = urllib.parse.unquote(parts.path.removeprefix("/"))
    is_plain = not (parts.query or parts.fragment) and "/" not in name
    if parts.scheme != _SERVER or not parts.hostname or not name or port == 0 or not is_plain:
        raise ValueError("write sqlite:///PATH or mysql://HOST[:PORT]/DATABASE")
    return MysqlDatabase(parts.hostname, port or DEFAULT_PORT, name)


def check(uri: str) -> str:
    """Returns a URI as it is.

    Raises:
      ValueError: see `parse`.
    """
    parse(uri)
    return uri
