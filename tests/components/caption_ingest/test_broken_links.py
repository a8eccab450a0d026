"""A missing image whose file is a link that leads nowhere, or hidden."""

import pytest

from components.caption_ingest import broken_links
from tests.factories import write_data_set


@pytest.mark.parametrize("allow_links", [False, True])
def test_a_link_per_image_that_leads_nowhere_is_named(tmp_path, read, allow_links):
    write_data_set(tmp_path, "a.jpg#0\tA dog\nb.jpg#0\tA cat\n")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "A.jpg").symlink_to("/mnt/nothing/a.jpg")
    details = [reject.detail for reject in read(tmp_path, allow_links=allow_links).rejects]
    assert details == [
        "no such file in the data directory; images/A.jpg is a link to /mnt/nothing/a.jpg, which is not there",
        "no such file in the data directory",
    ]


def test_a_linked_directory_that_is_not_mounted_is_named(tmp_path, read):
    write_data_set(tmp_path, "a.jpg#0\tA dog\n")
    (tmp_path / "Images").symlink_to("/mnt/nothing/images")
    (tmp_path / ".hidden").symlink_to("/mnt/nothing/else")
    [reject] = read(tmp_path, allow_links=True).rejects
    hint = "perhaps it is behind Images, a link to /mnt/nothing/images, which is not there"
    assert reject.detail == f"no such file in the data directory; {hint}"


def test_a_hidden_file_is_named_and_found_where_it_is_renamed(tmp_path, read):
    write_data_set(tmp_path, ".images/a.jpg#0\tA dog\nb.jpg#0\tA cat\nc.jpg#0\tA cow\n")
    for name in (".images/a.jpg", ".images/b.jpg", ".git/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    missing = "no such file in the data directory"
    hidden = "is hidden, and hidden files are not read: rename .images"
    assert [reject.detail for reject in read(tmp_path).rejects] == [
        f"{missing}; .images/a.jpg {hidden}",
        f"{missing}; .images/b.jpg {hidden}",
        missing,
    ]
    (tmp_path / ".images").rename(tmp_path / "images")
    assert [image.file.uri for image in read(tmp_path).images] == ["images/a.jpg", "images/b.jpg"]


def test_links_that_lead_to_themselves_or_somewhere_are_no_error(tmp_path):
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    (tmp_path / "up").symlink_to("..")
    assert broken_links.find_broken(str(tmp_path), ["a.jpg"]).keys() == {"a.jpg"}
    (tmp_path / "a.jpg").unlink()
    assert broken_links.find_broken(str(tmp_path), ["a.jpg"]) == {}


def test_no_link_is_sought_while_no_image_is_missing(tmp_path, read, monkeypatch):
    write_data_set(tmp_path, "a.jpg#0\tA dog\n")
    (tmp_path / "a.jpg").write_bytes(b"")
    monkeypatch.setattr(broken_links, "_broken_links", lambda data_dir: pytest.fail("searched"))
    assert len(read(tmp_path).images) == 1
