"""A folder that is held open stays what it is, and no name in it is followed elsewhere."""

from __future__ import annotations

import os
import shutil
import stat

import pytest

from dgmm.errors import DataError, InputNotFoundError, OutputFailedError
from dgmm.storage.append_files import CsvLines, JsonLines
from dgmm.storage.array_files import read_sealed, write_sealed
from dgmm.storage.atomic_files import read_json, write_json, write_text
from dgmm.storage.file_kinds import IrregularFileError, IrregularFolderError
from dgmm.storage.folders import Folder


@pytest.fixture
def victim(tmp_path):
    """A file that nobody may change, outside the folder."""
    path = tmp_path / "victim.txt"
    path.write_text('{"mine": 1}')
    return path


@pytest.fixture
def place(tmp_path):
    """Where the folder lies."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def test_a_link_is_replaced_by_what_is_written_aside(place, victim):
    (place / "run.json").symlink_to(victim)
    (place / "hard.json").hardlink_to(victim)
    with Folder(place) as folder:
        for name in ("run.json", "hard.json"):
            write_json(folder / name, {"a": 1})
            assert not (place / name).is_symlink()
            assert read_json(folder / name) == {"a": 1}
    assert victim.read_text() == '{"mine": 1}'


def test_what_is_written_aside_has_a_name_that_cannot_be_foretold(place, victim, monkeypatch):
    tokens = iter(["guessed", "other"])
    monkeypatch.setattr("dgmm.storage.exchange.secrets.token_hex", lambda _: next(tokens))
    (place / ".a.txt.guessed.tmp").symlink_to(victim)
    with Folder(place) as folder:
        with pytest.raises(OutputFailedError, match="File exists"):
            write_text(folder / "a.txt", "x")
        write_text(folder / "a.txt", "x")
    assert victim.read_text() == '{"mine": 1}'


@pytest.mark.parametrize("leads", ["to-a-file", "nowhere"])
def test_no_file_is_read_or_appended_to_through_a_link(place, victim, leads):
    target = victim if leads == "to-a-file" else place.parent / "absent"
    (place / "lines").symlink_to(target)
    with Folder(place) as folder:
        with pytest.raises(OutputFailedError, match=r"it is a symbolic link.*Remove it"):
            JsonLines(folder / "lines")
        with pytest.raises(OutputFailedError, match="it is a symbolic link"):
            CsvLines(folder / "lines", ["a"])
        with pytest.raises(InputNotFoundError, match="it is a symbolic link"):
            read_json(folder / "lines")
        with pytest.raises(DataError, match="it is a symbolic link"):
            read_sealed(folder / "lines")
    assert victim.read_text() == '{"mine": 1}'
    assert not (place.parent / "absent").exists()


def test_a_file_with_another_name_is_copied_before_it_grows(place, victim):
    victim.write_text("{}\n")
    victim.chmod(0o640)
    (place / "events.jsonl").hardlink_to(victim)
    with Folder(place) as folder, JsonLines(folder / "events.jsonl") as lines:
        lines.append({"a": 2})
    assert victim.read_text() == "{}\n"
    assert (place / "events.jsonl").read_text() == '{}\n{"a": 2}\n'
    assert stat.S_IMODE((place / "events.jsonl").stat().st_mode) == 0o640
    assert [p.name for p in place.iterdir()] == ["events.jsonl"]


def test_a_folder_is_opened_through_no_link(place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    (place / "own").symlink_to(tmp_path)
    (place / "file").touch()
    with pytest.raises(IrregularFolderError, match="it is a symbolic link"):
        Folder(tmp_path / "link")
    with Folder(tmp_path / "link", follow=True) as folder:
        assert folder.names() == ["file", "own"]
        with pytest.raises(IrregularFolderError, match="it is a symbolic link"):
            folder.folder("own")
        with pytest.raises(IrregularFolderError, match="expected a directory"):
            folder.folder("file")
        with pytest.raises(FileNotFoundError):
            folder.folder("absent")


def test_what_is_removed_is_the_link_and_not_what_it_leads_to(place, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").touch()
    (place / "link").symlink_to(other)
    (place / "inner").mkdir()
    (place / "inner" / "link").symlink_to(other)
    with Folder(place) as folder:
        for name in ("link", "inner", "absent"):
            folder.remove(name)
        assert folder.names() == []
    assert (other / "kept").exists()


@pytest.mark.parametrize("replaced", [False, True])
def test_what_is_written_to_a_folder_that_was_removed_goes_nowhere(place, replaced):
    with Folder(place) as folder:
        assert folder.is_in_place()
        shutil.rmtree(place)
        if replaced:
            place.mkdir()
        assert not folder.is_in_place()
        with pytest.raises(OutputFailedError, match="No such file"):
            write_sealed(folder / "em.1.checkpoint")
        with pytest.raises(OutputFailedError, match="No such file"):
            JsonLines(folder / "events.jsonl")
        with pytest.raises(FileNotFoundError):
            folder.make_folder("model.part")
    assert not replaced or not list(place.iterdir())


def test_what_is_written_to_a_folder_that_was_moved_goes_with_it(place, tmp_path):
    with Folder(place) as folder:
        place.rename(tmp_path / "moved")
        place.mkdir()
        write_text(folder / "a.txt", "x")
        assert not folder.is_in_place()
    assert not list(place.iterdir())
    assert (tmp_path / "moved" / "a.txt").read_text() == "x"


def test_a_fifo_is_not_waited_for(place):
    os.mkfifo(place / "pipe")
    with Folder(place) as folder, pytest.raises(IrregularFileError, match="it is a FIFO"):
        (folder / "pipe").reading()
