import os
import stat

import pytest

from eqnets import io


def test_writes_what_is_given_and_makes_folders(tmp_path):
    io.atomic_write_text(tmp_path / "a" / "b" / "x.txt", "één\r\ntwo\n")
    assert (tmp_path / "a" / "b" / "x.txt").read_bytes() == "één\r\ntwo\n".encode()
    io.atomic_write_bytes(str(tmp_path / "x.bin"), b"\x00\xff")
    assert (tmp_path / "x.bin").read_bytes() == b"\x00\xff"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "x.bin"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    io.atomic_write_text(path, "old")

    def half():
        with io.atomic_write(path) as aside:
            assert aside.suffix == ".txt"
            aside.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_a_failing_replace_leaves_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no"):
        io.atomic_write_bytes(tmp_path / "x", b"1")
    assert os.listdir(tmp_path) == []


def test_unencodable_text_leaves_the_old_file(tmp_path):
    io.atomic_write_text(tmp_path / "x", "old")
    with pytest.raises(UnicodeEncodeError):
        io.atomic_write_text(tmp_path / "x", "\ud800")
    assert (tmp_path / "x").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_permissions_follow_the_umask_then_the_old_file(tmp_path):
    path = tmp_path / "x"
    mask = os.umask(0o022)
    try:
        io.atomic_write_text(path, "1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o640)
        io.atomic_write_text(path, "2")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(mask)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    io.atomic_write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        io.atomic_write_text(tmp_path, "x")


def test_a_name_of_the_greatest_length(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    io.atomic_write_text(path, "x")
    assert path.read_text() == "x"
