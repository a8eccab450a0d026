import os

import pytest

from pipeline.config import check_metadata
from pipeline.config_files import load
from pipeline.errors import UserError
from pipeline.metadata_uri import MysqlDatabase, SqliteFile, parse

SECRET = "the-secret-word"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sqlite:////var/lib/captions.sqlite", SqliteFile("/var/lib/captions.sqlite")),
        ("sqlite:///captions.sqlite", SqliteFile(os.path.abspath("captions.sqlite"))),
        ("sqlite:///~/captions.sqlite", SqliteFile(os.path.expanduser("~/captions.sqlite"))),
        ("sqlite:////data/a b?c#d@e.sqlite", SqliteFile("/data/a b?c#d@e.sqlite")),
        ("mysql://db/mlmd", MysqlDatabase("db", 3306, "mlmd")),
        ("mysql://db.example.com:3307/captions%20mlmd", MysqlDatabase("db.example.com", 3307, "captions mlmd")),
        ("mysql://[::1]:3307/mlmd", MysqlDatabase("::1", 3307, "mlmd")),
    ],
)
def test_a_uri_is_parsed_and_written_alike(uri, place):
    assert parse(uri) == place == parse(str(place))


@pytest.mark.parametrize(
    "uri",
    [
        *("sqlite:///", "sqlite://", "sqlite:captions.sqlite", "captions.sqlite", "postgresql://db/mlmd"),
        *("mysql://db", "mysql://db/", "mysql:///mlmd", "mysql://db:many/mlmd", "mysql://db:0/mlmd", "mysql://db/a/b"),
        f"mysql://db/mlmd?password={SECRET}",
        f"mysql://db/mlmd#{SECRET}",
    ],
)
def test_what_is_no_uri_of_metadata_is_refused_and_not_shown(uri):
    with pytest.raises(UserError, match=r"^metadata: write sqlite:///PATH or mysql://HOST\[:PORT\]/DATABASE$"):
        load(None, [f"metadata={uri}"])


@pytest.mark.parametrize("uri", ["mysql://captions:{}@db/mlmd", "mysql://{}@db:3306/mlmd", "postgresql://a:{}@b/c"])
def test_a_uri_with_a_user_or_a_password_is_refused_with_the_reason_and_not_shown(uri):
    with pytest.raises(
        UserError, match=r"^metadata: .*would show them in logs.* METADATA_USER and METADATA_P"
    ) as error:
        load(None, [f"metadata={uri.format(SECRET)}"])
    assert SECRET not in str(error.value)


def test_a_file_in_the_root_is_the_default():
    config = load(None, ["root=/runs/mine"])
    assert check_metadata(config) == f"sqlite:///{config.paths.metadata}"
    assert check_metadata(load(None, ["root=/runs/mine", "metadata=mysql://db/mlmd"])) == "mysql://db/mlmd"


def test_a_root_in_a_bucket_without_a_database_is_refused_with_both_ways_out():
    message = r"^metadata: s3://bucket/mine is in a bucket.*metadata=sqlite:///PATH.*metadata=mysql://HOST/DATABASE"
    with pytest.raises(UserError, match=message):
        check_metadata(load(None, ["root=s3://bucket/mine"]))
    for uri in ("sqlite:////var/captions.sqlite", "mysql://db/mlmd"):
        assert check_metadata(load(None, ["root=s3://bucket/mine", f"metadata={uri}"])) == uri
