"""What SECURITY.md promises: nothing phones home, archives stay where they are, bombs are refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory
from whyact.data.io import archive as module
from whyact.data.io.archive import Archive
from whyact.data.io.mat_files import load_mat
from whyact.errors import UserError
from whyact.video.decode import decode

OFFLINE = """
import socket, sys

tried = []

def refuse(*words, **more):
    tried.append(words[-1] if words else "?")
    raise OSError("no network in this test")

class Closed(socket.socket):
    connect = connect_ex = sendto = refuse

socket.socket = Closed
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse

from whyact.cli import main

folder = sys.argv[1]
run, found = f"{folder}/run", f"{folder}/found.json"
data = ["--data", "synthetic"]
code = main(["train", "pvlr", *data, "--out", run, "--train.iterations", "2"])
code = code or main(["predict", "test_0001", *data, "--model", run, "--report", f"{folder}/a.html"])
with open(found, "w") as sys.stdout:
    code = code or main(["predict", "test_0001", *data, "--model", run, "--json"])
with open(f"{folder}/said.txt", "w") as sys.stdout:
    code = code or main(["report", found]) or main(["eval", run, *data]) or main(["doctor"])
sys.exit(f"tried to reach {tried}" if tried else code)
"""


def test_a_whole_run_reaches_for_no_network(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(tmp_path)], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "found.html").stat().st_size > 1000
    assert (tmp_path / "a.html").stat().st_size > 1000


def test_the_test_itself_sees_an_attempt(tmp_path: Path) -> None:
    prying = OFFLINE.partition("from whyact.cli")[0] + (
        "import urllib.request\n"
        "try:\n    urllib.request.urlopen('http://localhost:9/')\n"
        "except OSError:\n    pass\n"
        "sys.exit(f'tried to reach {tried}' if tried else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", prying, "x"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "tried to reach" in done.stderr


def test_a_reports_page_loads_nothing_from_elsewhere() -> None:
    templates = Path(module.__file__).parents[2] / "report" / "templates"
    for page in templates.iterdir():
        text = page.read_text(encoding="utf-8")
        for word in ('src="http', 'href="http', "@import", "url(http", "fetch(", "XMLHttpRequest", "//cdn"):
            assert word not in text, f"{page.name}: {word}"


def test_a_hostile_archive_writes_nothing_and_its_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "in" / "a.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as hostile:
        hostile.writestr("../escaped.txt", "x")
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        hostile.writestr(link, "../secret.txt")
    opened = Archive(path)
    assert opened.read("../escaped.txt") == b"x"
    assert opened.read("link.txt") == b"../secret.txt"  # the bytes of the link, not of what it points to
    opened.close()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in", "secret.txt"]


@pytest.mark.parametrize("member", ["../secret.txt", "a/../../secret.txt", "/etc/hostname", "..\\secret.txt"])
def test_a_name_in_the_data_does_not_lead_out_of_the_folder(tmp_path: Path, member: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b.txt").write_text("fine")
    opened = Archive(tmp_path / "in")
    assert opened.read("a/b.txt") == b"fine"
    for ask in (opened.read, opened.exists):
        with pytest.raises(UserError, match="inside the folder"):
            ask(member)


def test_a_zip_member_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("fine", b"0" * 1000)
        bomb.writestr("bomb", b"0" * 1001)
    opened = Archive(tmp_path / "a.zip")
    assert len(opened.read("fine")) == 1000
    with pytest.raises(UserError, match="bomb: found 1,001 bytes"):
        opened.read("bomb")


def test_a_picture_that_unpacks_to_400_million_pixels_is_refused_at_once(tmp_path: Path) -> None:
    """The container says 64 x 48; the picture inside says 20000 x 20000."""
    import av

    path = tmp_path / "bomb.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode())
    sound = path.read_bytes()
    assert len(decode(path, 2).frames) == 2
    small, large = struct.pack(">HH", 48, 64), struct.pack(">HH", 20000, 20000)
    damaged = bytearray(sound)
    at = damaged.find(b"\xff\xc0")
    while at >= 0:
        assert damaged[at + 5 : at + 9] == small
        damaged[at + 5 : at + 9] = large
        at = damaged.find(b"\xff\xc0", at + 9)
    path.write_bytes(damaged)
    started = time.perf_counter()

    def work() -> None:
        with pytest.raises(UserError, match=r"bomb\.avi"):
            decode(path, 2)

    if memory.can_measure():
        assert memory.added_mib(work) < 100  # one such frame in RGB is 1.1 GiB
    else:
        work()
    assert time.perf_counter() - started < 10


def test_a_matlab_file_that_claims_too_much_is_refused_at_once(tmp_path: Path) -> None:
    from scipy.io import savemat

    path, stream = tmp_path / "a.mat", io.BytesIO()
    savemat(stream, {"a": {"b": np.array(["x", "y"], dtype=object), "c": np.arange(6.0).reshape(2, 3)}})
    sound = stream.getvalue()
    path.write_bytes(sound)
    assert load_mat(path)["a"]["c"].shape == (2, 3)
    dims = struct.pack("<ii", 2, 3)
    assert dims in sound
    path.write_bytes(sound.replace(dims, struct.pack("<ii", 2**14, 2**14)))
    started = time.perf_counter()
    with pytest.raises(UserError, match="MATLAB"):
        load_mat(path)
    assert time.perf_counter() - started < 2
