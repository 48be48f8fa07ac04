"""Archives: good ones are unpacked whole, hostile and damaged ones not at all."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib

import bounded
import pytest
from archives import safe_parts, unpack
from bounded import Limits

from i2i.errors import ArchiveError, UsageError

pytestmark = pytest.mark.hostile

PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
GOOD = {
    "set/train/a.png": b"a" * 700,
    "set/train/2010-09-07 12:23:20.jpg": b"b",
    "set/notes.txt": b"",
    f"set/test/{'ü' * 60}.png": b"c",
}


def tar_bytes(*members):
    """A plain tar of (name, content) files and of headers made by hand."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size, info.mode, info.uid = len(member[1]), 0o6777, 12345
                tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def zip_bytes(*members):
    """A zip of (name, content) or (name, content, mode) files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *mode in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (mode[0] if mode else 0o644) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def header(name, kind, link="", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def raw_header(name, kind=tarfile.REGTYPE, size=0):
    """A header that announces more data than follows."""
    return header(name, kind, size=size).tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def patched(data, offset, value):
    """A zip with bytes of its (first) index entry replaced."""
    start = data.index(b"PK\x01\x02") + offset
    return data[:start] + value + data[start + len(value) :]


def greedy_xz(data):
    """An xz file whose header asks for 2 GB of memory."""
    packed = lzma.compress(data)
    block = packed[12:16] + bytes([38]) + packed[17:20]  # after the stream's header; byte 4 is the dictionary's size
    return packed[:12] + block + zlib.crc32(block).to_bytes(4, "little") + packed[24:]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(tmp_path, data, match, limits=None):
    """Unpacking fails with a message, and leaves nothing."""
    archive = tmp_path / "given.archive"
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match=match):
        unpack(archive, tmp_path / "deep" / "out", limits)
    left = [path for path in tmp_path.rglob("*") if path not in (archive, tmp_path / "deep")]
    assert left == []


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_good_archives_come_out_whole(tmp_path, suffix):
    junk = {"__MACOSX/set/._a.png": b"x", "set/.DS_Store": b"x"}
    members = [*GOOD.items(), *junk.items()]
    if suffix == ".zip":
        data = zip_bytes(*((name, content, 0o6777) for name, content in members))
    else:
        data = PACKERS[suffix](tar_bytes(header("./", tarfile.DIRTYPE), *members))
    (tmp_path / "given").write_bytes(data)
    assert unpack(tmp_path / "given", tmp_path / "out") == len(GOOD)
    assert contents(tmp_path / "out") == {name.removeprefix("set/"): content for name, content in GOOD.items()}
    modes = [path.stat().st_mode for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IXUSR) for mode in modes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "out"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train/1.png"], {"train/1.png"}),  # a split is no wrapping
        (["a/1.png", "b/1.png"], {"a/1.png", "b/1.png"}),
        (["top/top/1.png", "top/2.png"], {"top/1.png", "2.png"}),  # once
    ],
)
def test_only_a_wrapping_folder_is_left_out(tmp_path, names, expected):
    (tmp_path / "given").write_bytes(tar_bytes(*((name, b"x") for name in names)))
    unpack(tmp_path / "given", tmp_path / "out")
    assert set(contents(tmp_path / "out")) == expected


def test_a_folder_that_exists_is_never_touched(tmp_path):
    (tmp_path / "given").write_bytes(tar_bytes(("a", b"new")))
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out"):
        unpack(tmp_path / "given", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes], ids=["tar", "zip"])
@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["../out.txt"], "leads out"),
        (["a/../../out.txt"], "leads out"),
        (["/etc/out.txt"], "absolute"),
        (["C:/out.txt"], "absolute"),
        (["a\\..\\out.txt"], "backslash"),
        (["bell\a.png"], "control characters"),
        (["x" * 300], "too long"),
        (["a/" * 600 + "x"], "too long"),
        (["a.png", "a.png"], "twice"),
        (["a", "a/b"], "twice"),
        (["a/b", "a"], "twice"),
        (["a/b.png", "a/B.png"], "same name"),
        (["Train/a.png", "train/b.png"], "same name"),
        (["caf\u00e9", "cafe\u0301"], "same name"),
        (["__MACOSX/../../x"], "leads out"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_escape_or_collide_are_refused(tmp_path, pack, names, match):
    refuse(tmp_path, pack(*((name, b"x") for name in names)), match)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (tar_bytes(header("d", tarfile.SYMTYPE, ".."), ("d/x", b"x")), "symbolic link"),
        (tar_bytes(("a", b"x"), header("h", tarfile.LNKTYPE, "../../given.archive")), "hard link"),
        (tar_bytes(header("null", tarfile.CHRTYPE, devmajor=1, devminor=3)), "device"),
        (tar_bytes(header("pipe", tarfile.FIFOTYPE)), "FIFO"),
        (tar_bytes(header("odd", b"Z")), "unknown kind"),
        (tar_bytes((b"\xff.png".decode("utf-8", "surrogateescape"), b"x")), "not text"),
        (zip_bytes(("d", b"..", 0o120777), ("d/x", b"x")), "symbolic link"),
        (zip_bytes(("pipe", b"", stat.S_IFIFO | 0o644)), "device"),
        (zip_bytes(("a.pngQ.exe", b"x")).replace(b"a.pngQ", b"a.png\0"), "control characters"),
        (patched(zip_bytes(("a", b"x")), 8, b"\x01"), "encrypted"),
        (patched(zip_bytes(("a", b"x")), 10, b"\x0e"), "unsupported way"),
        (patched(zip_bytes(("a", bytes(9))), 24, b"\x08"), "damaged"),  # announces less than it holds
        (patched(zip_bytes(("a", bytes(9))), 24, b"\x0a"), "not 10 as stated"),
        (greedy_xz(tar_bytes(("a", b"x"))), "Memory usage limit"),
        (tar_bytes(header("d", tarfile.DIRTYPE)), "no files"),
        (zip_bytes(), "no files"),
        (patched(zip_bytes(("a", b"x")), 47 + 16, b"\xf0\xff\xff\x7f"), "damaged"),  # an index before the file's start
        (raw_header("._a", size=-1024) + bytes(1024), "lead back"),  # would be read again and again
        (raw_header("x", tarfile.XHDTYPE, size=8 << 30) + bytes(1024), "too long"),  # would fill the memory
        (raw_header("x", tarfile.GNUTYPE_LONGNAME, size=8 << 30) + bytes(1024), "too long"),
        (tar_bytes(("a", b"x")) + tar_bytes(("b", b"x")), "follows its end"),
        (gzip.compress(gzip.compress(tar_bytes(("a", b"x")))), "damaged"),
        (b"<!DOCTYPE html><title>404</title>" * 40, "neither a tar"),
        (b"", "neither a tar"),
    ],
)  # fmt: skip
def test_hostile_archives_are_refused(tmp_path, data, match):
    refuse(tmp_path, data, match)


def test_limits_apply_to_real_sizes_not_stated_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "_SMALL", 1 << 16)
    zeros = bytes(8 << 20)
    refuse(tmp_path, gzip.compress(tar_bytes(("zeros", zeros))), "unpacks to more")
    refuse(tmp_path, zip_bytes(("zeros", zeros)), "unpacks to more")
    refuse(tmp_path, gzip.compress(tar_bytes(("a", b"x")) + zeros), "unpacks to more")  # after the end
    two = (("a", bytes(9)), ("b", bytes(9)))
    refuse(tmp_path, tar_bytes(*two), "more than 1 files", Limits(members=1))
    refuse(tmp_path, zip_bytes(*two), "larger than 8 bytes", Limits(member_bytes=8))
    refuse(tmp_path, tar_bytes(*two), "more than 1", Limits(total_bytes=1000))


@pytest.mark.parametrize("suffix", [*PACKERS, ".zip"])
def test_a_cut_archive_is_refused_wherever_it_was_cut(tmp_path, suffix):
    members = [(f"{number}.png", bytes(range(256)) * 3) for number in range(4)]
    plain = tar_bytes(*members)
    data = zip_bytes(*members) if suffix == ".zip" else PACKERS[suffix](plain)
    # A plain tar ends with the first block of zeros; what fills it up may go.
    end = len(members) * (512 + 1024) + 511 if suffix == "" else len(data) - 1
    for cut in {*range(0, end, max(1, end // 40)), 512, 1536, end}:
        refuse(tmp_path, data[: min(cut, end)], "damaged|neither a tar|too early")


@pytest.mark.parametrize("pack", [lambda *files: gzip.compress(tar_bytes(*files)), zip_bytes], ids=["tar.gz", "zip"])
def test_a_flipped_bit_is_noticed(tmp_path, pack):
    data = bytearray(pack(("a.png", bytes(range(256)) * 9)))
    data[len(data) // 2] ^= 1
    refuse(tmp_path, bytes(data), "damaged")


def test_names_fit_windows():
    assert safe_parts("a/2010-09-07 12:23:20.jpg", windows=True) == ("a", "2010-09-07 12_23_20.jpg")
    assert safe_parts("aux.png/b. ", windows=True) == ("_aux.png", "b._")
    assert safe_parts("./a//b:c", windows=False) == ("a", "b:c")
