from components.shared.mlmd.incomplete import last_incomplete
from tests.fake_mlmd import FakeMlmd


def test_the_newest_incomplete_result_about_the_same_thing_counts():
    fake_mlmd = FakeMlmd()

    def last(name: str, value: int | str) -> int:
        return last_incomplete(fake_mlmd.store, "captions.Report", name, value)

    assert last("candidate_id", 7) == 0  # there is no such type yet
    fake_mlmd.artifact("captions.Report", candidate_id=7)
    assert last("candidate_id", 7) == 0
    fake_mlmd.artifact("captions.Report", candidate_id=7, incomplete='["a.jpg"]')
    second = fake_mlmd.artifact("captions.Report", candidate_id=7, incomplete='["b.jpg"]')
    fake_mlmd.artifact("captions.Report", candidate_id=8, incomplete='["b.jpg"]')
    fake_mlmd.artifact("captions.Report", incomplete='["b.jpg"]')
    fake_mlmd.artifact("captions.Report", candidate_id=7)
    assert last("candidate_id", 7) == second
    third = fake_mlmd.artifact("captions.Report", data_root="/data", incomplete="[]")
    assert last("data_root", "/data") == third and last("data_root", "/other") == 0
