"""Files are whole or absent; the program's own folder can be moved."""

import errno
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from genstudio import files
from genstudio.errors import GenstudioError
from genstudio.files import atomic, digest, home, write, write_text


def test_a_write_makes_its_folders_and_leaves_only_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_files_are_as_readable_as_the_user_wants(tmp_path: Path) -> None:
    """Whatever the writer made of it: safetensors would keep files to their owner."""
    before = os.umask(0o027)
    try:
        with atomic(tmp_path / "model.safetensors") as temporary:
            save_file({"x": torch.zeros(1)}, temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_failed_write_keeps_the_old_file_and_removes_the_new(failure, tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    write_text(path, "old")
    with pytest.raises(failure), atomic(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "cannot be written")]
)
def test_the_disk_speaks_in_two_sentences(number: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match=message), atomic(tmp_path / "c.txt") as temporary:
        temporary.write_text("half")
        raise OSError(number, "reason")
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_file_that_fails_leaves_no_empty_name(tmp_path: Path, monkeypatch) -> None:
    def full(temporary: Path, path: Path) -> None:
        assert path.name == "c.txt" and path.is_file()
        raise OSError(errno.ENOSPC, "reason")

    monkeypatch.setattr(files, "settle", full)
    with pytest.raises(GenstudioError, match="The disk is full"):
        write(tmp_path / "c.txt", lambda temporary: temporary.write_text("whole"), fresh=True)
    assert list(tmp_path.iterdir()) == []


def test_fresh_files_of_many_writers_are_all_there(tmp_path: Path) -> None:
    """Eight threads, as eight processes would, ask for one name at the same time."""

    def make(number: int) -> Path:
        return write(tmp_path / "a.txt", lambda temporary: temporary.write_text(str(number)), fresh=True)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, range(40)))
    assert len(set(made)) == 40 and {path.name for path in made} >= {"a.txt", "a-1.txt", "a-39.txt"}
    assert [path.read_text() for path in made] == [str(number) for number in range(40)]


def test_digest_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40_000
    (tmp_path / "f").write_bytes(content)
    assert digest(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_the_home_is_the_users_cache_unless_chosen(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("GENSTUDIO_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("GENSTUDIO_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert home().name == "genstudio"
