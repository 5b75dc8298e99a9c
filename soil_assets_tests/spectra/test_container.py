"""Folders, archives and URLs: what is read, what is refused, and that nothing leads out of them."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from soil_assets.benchmarks.instrument_files import opus, real_batch, tables
from soil_assets.errors import BadInput
from soil_assets.spectra.catalogue import built_in_catalogue
from soil_assets.spectra.landed import Landed, read_landed
from soil_assets.spectra.read import read
from soil_assets.spectra.readers.container import open_sources
from soil_assets.spectra.readers.scans import Limits, ReadOptions

BATCH = real_batch()
CSV = tables(BATCH)["spectra.csv"]
CATALOGUE = built_in_catalogue()


def scan(number: int = 0) -> bytes:
    return opus(BATCH.spectra[number], 3799.0, 549.6)


def packed(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def land(folder: Path | str) -> Landed:
    return read_landed(folder, CATALOGUE)


def names(path: Path | str, **limits: int) -> list[str]:
    with open_sources(path, Limits(**limits)) as found:
        return [source.name for source in found]


class TestFolders:
    def test_files_of_nested_folders_in_order(self, tmp_path: Path) -> None:
        for name in ("b/2.0", "a.0", "b/1.0", "c/d/e.0"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(scan())
        assert names(tmp_path) == ["a.0", "b/1.0", "b/2.0", "c/d/e.0"]
        assert list(read(tmp_path).samples["source_file"]) == ["a.0", "b/1.0", "b/2.0", "c/d/e.0"]

    def test_what_desktops_leave_is_passed_over_with_a_note(self, tmp_path: Path) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        litter = ("Thumbs.db", "desktop.ini", ".DS_Store", ".~lock.lab.ods#", "~$lab.xlsx", "._soil_1.0", "_SUCCESS",
                  "copy.partial")  # fmt: skip
        for name in litter:
            (tmp_path / name).write_bytes(b"\0litter")
        (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 ...")
        (tmp_path / "pit.jpg").write_bytes(b"\xff\xd8\xff\xe0 picture")
        (tmp_path / "README.txt").write_text(
            "These scans were made by hand.\nMind, the lamp was new.\nGreetings\n"
        )
        landed = land(tmp_path)
        assert (landed.landed, landed.unreadable) == (1, ())
        for name in [n for n in litter if n != "_SUCCESS"] + ["report.pdf", "pit.jpg", "README.txt"]:
            assert any(note.startswith(name) for note in landed.notes), name
        assert len(read(tmp_path)) == 1

    def test_alone_such_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
        with pytest.raises(BadInput, match="not a spectra file") as error:
            read(tmp_path / "Thumbs.db")
        assert "Windows" in str(error.value.found)

    def test_a_web_page_is_litter_under_its_own_name_and_a_lost_scan_under_that_of_data(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        (tmp_path / "index.html").write_bytes(b"<!DOCTYPE html><html>hello</html>")
        (tmp_path / "spectra.csv").write_bytes(b"<!DOCTYPE html><html>please log in</html>")
        landed = land(tmp_path)
        assert landed.landed == 2
        assert landed.unreadable[0].file == "spectra.csv"
        assert "download the file again" in str(landed.unreadable[0].mend)
        assert any(note.startswith("index.html") for note in landed.notes)

    def test_a_git_lfs_pointer_is_an_unreadable_scan(self, tmp_path: Path) -> None:
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 36576\n"
        (tmp_path / "soil_1.0").write_bytes(scan())
        (tmp_path / "soil_2.0").write_bytes(pointer)
        landed = land(tmp_path)
        assert landed.landed == 2
        assert "Git LFS pointer" in landed.unreadable[0].reason
        assert landed.unreadable[0].mend == "run git lfs pull"

    def test_a_link_is_not_followed_wherever_it_leads(self, tmp_path: Path) -> None:
        outside = tmp_path / "secret.0"
        outside.write_bytes(scan())
        folder = tmp_path / "batch"
        folder.mkdir()
        (folder / "soil_1.0").write_bytes(scan(1))
        (folder / "link.0").symlink_to(outside)
        (folder / "up").symlink_to(tmp_path)
        (folder / "inside.0").symlink_to(folder / "soil_1.0")
        landed = land(folder)
        assert [u.file for u in landed.unreadable] == ["inside.0", "link.0", "up"]
        assert all("a link, which is not followed" in u.reason for u in landed.unreadable)
        assert landed.batch is not None
        assert list(landed.batch.samples["source_file"]) == ["soil_1.0"]

    def test_a_link_in_a_circle_ends(self, tmp_path: Path) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        (tmp_path / "again").symlink_to(tmp_path)
        assert names(tmp_path) == ["again", "soil_1.0"]

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        os.mkfifo(tmp_path / "pipe.0")
        landed = land(tmp_path)
        assert "neither a file nor a folder" in landed.unreadable[0].reason
        with pytest.raises(BadInput, match="neither a file nor a folder"):
            read(tmp_path / "pipe.0")

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_file_without_permission_is_unreadable(self, tmp_path: Path) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        (tmp_path / "soil_2.0").write_bytes(scan())
        (tmp_path / "soil_2.0").chmod(0)
        assert "no permission" in land(tmp_path).unreadable[0].reason

    def test_permission_denied_is_said_whoever_runs_the_test(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "soil_1.0").write_bytes(scan())
        real = Path.open

        def refuse(path: Path, *arguments: object, **named: object) -> object:
            if path.name == "soil_1.0":
                raise PermissionError(13, "Permission denied")
            return real(path, *arguments, **named)  # type: ignore[call-overload]

        monkeypatch.setattr(Path, "open", refuse)
        landed = land(tmp_path)
        assert landed.landed == 1
        assert landed.unreadable[0].mend == "grant read permission"

    def test_too_many_files_and_too_deep_folders(self, tmp_path: Path) -> None:
        for number in range(6):
            (tmp_path / f"soil_{number}.0").write_bytes(scan())
        with pytest.raises(BadInput, match="more files"):
            names(tmp_path, files=5)
        deep = tmp_path / "1/2/3/4"
        deep.mkdir(parents=True)
        (deep / "x.0").write_bytes(scan())
        with open_sources(tmp_path, Limits(depth=3)) as found, pytest.raises(BadInput, match="nested deeper"):
            found[0].open()

    def test_a_missing_folder_and_an_empty_one(self, tmp_path: Path) -> None:
        with pytest.raises(BadInput, match="no such file or folder"):
            read(tmp_path / "none")
        with pytest.raises(BadInput, match="no spectra") as error:
            read(tmp_path)
        assert error.value.found == "no files"


class TestArchives:
    def test_members_are_read_like_files(self, tmp_path: Path) -> None:
        (tmp_path / "run.zip").write_bytes(packed(**{"day 1/soil_1.0": scan(0), "day 1/soil_2.0": scan(1)}))
        batch = read(tmp_path / "run.zip")
        assert list(batch.sample_ids) == ["soil_1", "soil_2"]
        assert batch.samples["source_file"][0] == "run.zip/day 1/soil_1.0"
        np.testing.assert_array_equal(batch.spectra, BATCH.spectra[:2])

    def test_an_archive_in_an_archive(self, tmp_path: Path) -> None:
        inner = packed(**{"soil_1.0": scan()})
        (tmp_path / "outer.zip").write_bytes(packed(**{"inner.zip": inner, "soil_2.0": scan(1)}))
        assert list(read(tmp_path / "outer.zip").sample_ids) == ["soil_1", "soil_2"]

    def test_nesting_is_bounded(self, tmp_path: Path) -> None:
        content = scan()
        for level in range(12):
            content = packed(**{f"level {level}.zip" if level else "soil.0": content})
        (tmp_path / "matryoshka.zip").write_bytes(content)
        landed = land(tmp_path)
        assert landed.batch is None
        assert "nested deeper" in landed.unreadable[0].reason

    @pytest.mark.parametrize("name", ["../escape.0", "/etc/passwd", "a/../../b.0", "C:\\soil.0", "..\\up.0"])
    def test_names_that_lead_out_are_refused(self, tmp_path: Path, name: str) -> None:
        info = zipfile.ZipInfo()
        info.filename = name  # past the sanitizer of the writer
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
            archive.writestr(info, scan())
            archive.writestr("good.0", scan(1))
        landed = land(tmp_path)
        assert landed.batch is not None
        assert list(landed.batch.sample_ids) == ["good"]
        assert "leads out of the archive" in landed.unreadable[0].reason
        assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip"]

    def test_a_link_in_an_archive_is_refused(self, tmp_path: Path) -> None:
        info = zipfile.ZipInfo("link.0")
        info.create_system = 3
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
            archive.writestr(info, "/etc/passwd")
        assert "is a link" in land(tmp_path).unreadable[0].reason

    def test_a_bomb_is_refused_before_it_unpacks(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("zeros.csv", bytes(100 << 20))
        landed = land(tmp_path)
        assert landed.landed == 1
        assert "unpacks to far more" in landed.unreadable[0].reason

    def test_a_gzip_bomb_is_stopped(self, tmp_path: Path) -> None:
        import gzip

        row = b"1," * 400 + b"1\n"
        header = b",".join(b"%d" % p for p in range(600, 1001)) + b"\n"
        (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(header + row * 120_000))
        landed = land(tmp_path)
        assert "unpacks to far more" in landed.unreadable[0].reason

    def test_limits_on_size_and_count(self, tmp_path: Path) -> None:
        (tmp_path / "run.zip").write_bytes(packed(**{f"soil_{i}.0": scan(i) for i in range(6)}))
        with pytest.raises(BadInput, match="more files"):
            read(tmp_path / "run.zip", ReadOptions(limits=Limits(files=5)))
        with pytest.raises(BadInput, match="larger than is read"):
            read(tmp_path / "run.zip", ReadOptions(limits=Limits(total_bytes=1000)))

    def test_a_locked_member_and_a_damaged_one(self, tmp_path: Path) -> None:
        raw = bytearray(packed(**{"soil_1.0": scan()}))
        locked = bytearray(raw)
        locked[6] |= 1
        locked[raw.index(b"PK\x01\x02") + 8] |= 1
        (tmp_path / "a.zip").write_bytes(bytes(locked))
        raw[200] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(bytes(raw))
        reasons = [u.reason for u in land(tmp_path).unreadable]
        assert "encrypted" in reasons[0]
        assert "damaged" in reasons[1]

    @pytest.mark.parametrize("sixteenth", range(1, 16))
    def test_an_archive_cut_anywhere_is_refused(self, tmp_path: Path, sixteenth: int) -> None:
        raw = packed(**{"spectra.csv": CSV})
        (tmp_path / "run.zip").write_bytes(raw[: len(raw) * sixteenth // 16])
        with pytest.raises(BadInput) as error:
            read(tmp_path / "run.zip")
        assert "archive" in error.value.what

    def test_a_table_with_a_lab_sheet_in_an_archive_lands(self, tmp_path: Path) -> None:
        lab = b"sample_id,clay\n" + b"".join(b"%s,20\n" % i.encode() for i in BATCH.sample_ids)
        (tmp_path / "delivery.zip").write_bytes(packed(**{"spectra.csv": CSV, "lab.csv": lab}))
        landed = land(tmp_path)
        assert landed.batch is not None
        assert (landed.landed, landed.lab_rows) == (12, 12)
        assert (landed.batch.property_values("clay") == 20).all()


class TestUrls:
    def test_a_url_reads_like_a_folder(self, tmp_path: Path) -> None:
        import fsspec

        fs = fsspec.filesystem("memory")
        with fs.open("/landing/b1/spectra.csv", "wb") as stream:
            stream.write(CSV)
        with fs.open("/landing/b1/lab.csv", "wb") as stream:
            stream.write(b"sample_id,clay\nNRW.115-001,12.5\n")
        (tmp_path / "spectra.csv").write_bytes(CSV)
        here, there = read(tmp_path), read("memory://landing/b1/spectra.csv")
        assert there.content_hash() == here.content_hash()
        landed = land("memory://landing/b1")
        assert landed.batch is not None
        assert landed.batch.property_values("clay")[0] == 12.5
        assert landed.batch.samples["source_file"][0] == "spectra.csv"

    def test_a_file_url_is_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "spectra.csv").write_bytes(CSV)
        assert len(read(f"file://{tmp_path}/spectra.csv")) == 12

    def test_what_is_not_there_and_an_unknown_protocol_say_so(self) -> None:
        with pytest.raises(BadInput, match="no such file or folder"):
            read("memory://landing/none")
        with pytest.raises(BadInput, match="cannot be read"):
            read("gopher://somewhere/x.csv")
