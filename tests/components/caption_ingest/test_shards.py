import pytest

from components.caption_ingest.shards import missing_shards


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["train-00000-of-00001.parquet", "val-00000-of-00001.parquet", "other.parquet"], []),
        (["train-00000-of-00002-3f1c2a.parquet", "train-00001-of-00002-77aa00.parquet"], []),
        (["shard-1-of-2.tar", "shard-2-of-2.tar"], []),
        (["shard-2-of-3.tar"], ["shard-0-of-3"]),
        (["shard-3-of-3.tar"], ["shard-1-of-3"]),
        (["a/train-000-of-004.tar", "b/train-001-of-004.tar"], ["a/train-001-of-004", "b/train-000-of-004"]),
        (["train-0-of-99999999999999999999.tar"], ["train-1-of-99999999999999999999"]),
    ],
)
def test_missing_shards_are_named(names, missing):
    assert list(missing_shards(names)) == missing
