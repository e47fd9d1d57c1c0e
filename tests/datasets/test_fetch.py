"""Downloads of public sets, from a server on this machine that behaves as the real ones do: ranges, cut connections, no lengths."""

import errno
import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from test_bandainamco import NAMES, bvh_text
from test_umonstaichi import METADATA, body, kinect_text, stamps
from written_data import AIST_NAME, write_aistpp

from dancemvp_core import cli, datasets, download
from dancemvp_core.datasets import aistpp, bandainamco, umonstaichi

COMMIT = "74ead3ba1ae4696404e6086233779f60de8bf9ef"


@pytest.fixture
def server(monkeypatch):
    """``files``: {path: bytes}; ``cut``: {path: bytes after which the connection ends}; ``plain``: paths without ranges or length.

    ``asked`` has (path, range) of each request.
    """
    state = SimpleNamespace(files={}, cut={}, plain=set(), asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            span = self.headers.get("Range")
            state.asked.append((self.path, span))
            content = state.files.get(self.path)
            if content is None:
                return self.send_error(404, "Not Found")
            first, last, code = 0, len(content) - 1, 200
            if span and self.path not in state.plain:
                low, high = span.removeprefix("bytes=").split("-")
                first, last, code = int(low), min(int(high or last), last), 206
                if first > last:
                    return self.send_error(416)
            self.send_response(code)
            if code == 206:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            if self.path not in state.plain:
                self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            self.wfile.write(content[first : last + 1][: state.cut.get(self.path)])

        def log_message(self, *_):
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{served.server_port}"
    monkeypatch.setattr(bandainamco, "ARCHIVE", f"{state.url}/bandai")
    monkeypatch.setattr(umonstaichi, "RECORD", f"{state.url}/api/records/2784581")
    monkeypatch.setattr(umonstaichi, "METADATA", f"{state.url}/raw/Metadata.txt")
    monkeypatch.setattr(aistpp, "STORE", f"{state.url}/store")
    yield state
    served.shutdown()
    served.server_close()


def zipped(members, comment=""):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = comment.encode()
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def bandai(server):
    """The repository's archive as GitHub packs it, with things that are not motion."""
    root = "Bandai-Namco-Research-Motiondataset-master"
    members = {f"{root}/README.md": "about", f"{root}/src/movie.gif": "GIF"}
    members |= {f"{root}/../../dataset/x/data/dataset-1_a_b_1.bvh": "a path that leads out"}
    for k, name in enumerate(NAMES):
        inner = f"{root}/dataset/Bandai-Namco-Research-Motiondataset-{name[len('dataset-')]}"
        members |= {f"{inner}/data/{name}": bvh_text(seed=k), f"{inner}/LICENSE": "CC", f"{inner}/data.zip": "version https://git"}
        members |= {f"{inner}/data/{name[:-4]}.json": "{}"}
    server.files["/bandai"] = zipped(members, COMMIT)
    server.plain.add("/bandai")  # GitHub makes the archive as it is sent
    return server


def fetch(source, out, capsys):
    """(exit code, lines of stdout, lines of stderr) of `dancemvp data fetch`."""
    code = cli.main(["data", "fetch", source, str(out)])
    said, complained = capsys.readouterr()
    return code, said.splitlines(), complained.splitlines()


def visible(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and ".fetch" not in p.parts)


def test_bandai_namco_comes_whole_with_its_licence_and_its_hash(tmp_path, bandai, capsys):
    out = tmp_path / "real"
    code, said, complained = fetch("bandai-namco", out, capsys)
    assert code == 0 and complained == [] and "CC BY-NC 4.0" in said[0] and "downloading" in said[1]
    sets = "dataset/Bandai-Namco-Research-Motiondataset-{}/{}"
    expected = [sets.format(name[8], f"data/{name}") for name in NAMES] + [sets.format(k, "LICENSE") for k in (1, 2)]
    assert visible(out) == sorted([*expected, "dataset.json"]) and not (out / ".fetch").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["real"]
    facts = json.loads((out / "dataset.json").read_bytes())
    assert facts["downloads"] == [
        {"url": f"{bandai.url}/bandai", "sha256": hashlib.sha256(bandai.files["/bandai"]).hexdigest(), "commit": COMMIT}
    ]
    dataset = datasets.load(out)
    assert len(dataset) == 5 and dataset.name == "bandai-namco" and dataset.facts["level_name"] == "style"
    assert cli.main(["data", "check", str(out)]) == 0
    card = capsys.readouterr().out
    assert "CC BY-NC 4.0" in card and "a style is no skill" in card and "3 styles" in card and "levels" not in card


def test_the_licence_is_said_before_anything_is_asked_for(tmp_path, bandai):
    asked = []
    bandainamco.fetch(tmp_path / "real", say=lambda text: asked.append((text, len(bandai.asked))))
    assert "CC BY-NC 4.0" in asked[0][0] and asked[0][1] == 0


def test_a_complete_folder_is_left_as_it_is_and_facts_of_its_owner_stay(tmp_path, bandai, capsys):
    out = tmp_path / "real"
    out.mkdir()
    (out / "dataset.json").write_text('{"up": "y"}')
    fetch("bandai-namco", out, capsys)
    assert json.loads((out / "dataset.json").read_bytes())["up"] == "y"
    asked = len(bandai.asked)
    code, said, _ = fetch("bandai-namco", out, capsys)
    assert code == 0 and "is complete" in said[1] and len(bandai.asked) == asked


def test_a_cut_download_leaves_no_file_and_goes_on_where_it_was(tmp_path, bandai, capsys):
    bandai.plain.clear()
    bandai.cut["/bandai"] = 1000
    out = tmp_path / "real"
    code, _, complained = fetch("bandai-namco", out, capsys)
    (line,) = complained
    assert code == 2 and "ended after 1000 of" in line and "goes on" in line and visible(out) == []
    bandai.cut.clear()
    code, _, complained = fetch("bandai-namco", out, capsys)
    assert code == 0 and complained == [] and bandai.asked[-1] == ("/bandai", "bytes=1000-")
    downloads = json.loads((out / "dataset.json").read_bytes())["downloads"]
    assert downloads[0]["sha256"] == hashlib.sha256(bandai.files["/bandai"]).hexdigest() and len(datasets.load(out)) == 5


def test_without_ranges_a_cut_download_starts_again(tmp_path, bandai, capsys):
    bandai.cut["/bandai"] = 1000
    out = tmp_path / "real"
    code, _, complained = fetch("bandai-namco", out, capsys)  # without a length, only the archive itself shows the cut
    (line,) = complained
    assert code == 2 and "came damaged" in line and not out.exists()
    bandai.cut.clear()
    assert fetch("bandai-namco", out, capsys)[0] == 0 and len(datasets.load(out)) == 5


def test_a_whole_download_whose_unpacking_was_interrupted_is_used(tmp_path, bandai, capsys, monkeypatch):
    bandai.plain.clear()
    out = tmp_path / "real"
    with monkeypatch.context() as patch:
        patch.setattr(download, "_unpack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert fetch("bandai-namco", out, capsys)[0] == 130
    assert visible(out) == []
    sent = len(bandai.files["/bandai"])
    assert fetch("bandai-namco", out, capsys)[0] == 0
    assert bandai.asked[-1] == ("/bandai", f"bytes={sent}-") and len(datasets.load(out)) == 5


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda state: state.files.clear(), "404 Not Found"),
        (lambda state: state.files.update({"/bandai": b"<html>sign in</html>"}), "came damaged"),
        (lambda state: state.files.update({"/bandai": zipped({"x/readme": "moved"})}), "no file of the expected names"),
    ],
    ids=["gone", "no archive", "another archive"],
)
def test_what_is_not_the_archive_is_one_line_and_leaves_nothing(tmp_path, bandai, capsys, spoil, named):
    spoil(bandai)
    code, _, complained = fetch("bandai-namco", tmp_path / "real", capsys)
    (line,) = complained
    assert code == 2 and named in line and bandainamco.REPOSITORY in line and visible(tmp_path) == []


def test_a_flipped_bit_is_found(tmp_path, bandai, capsys):
    spoiled = bytearray(bandai.files["/bandai"])
    spoiled[len(spoiled) // 2] ^= 1
    bandai.files["/bandai"] = bytes(spoiled)
    code, _, complained = fetch("bandai-namco", tmp_path / "real", capsys)
    assert code == 2 and len(complained) == 1 and "came damaged" in complained[0] and visible(tmp_path) == []


@pytest.mark.parametrize("source", ["bandai-namco", "umons-taichi", "aistpp"])
def test_without_a_network_it_is_one_line_and_leaves_nothing(tmp_path, server, capsys, monkeypatch, source):
    for module, name in ((bandainamco, "ARCHIVE"), (umonstaichi, "RECORD"), (aistpp, "STORE")):
        monkeypatch.setattr(module, name, "http://127.0.0.1:9/x")  # nobody listens there
    code, _, complained = fetch(source, tmp_path / "real", capsys)
    assert code == 2 and len(complained) == 1 and "check the network" in complained[0] and list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_no_half_file(tmp_path, bandai, capsys, monkeypatch):
    def full(source, sink):
        sink.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    code, _, complained = fetch("bandai-namco", tmp_path / "real", capsys)
    assert code == 1 and len(complained) == 1 and "the disk is full" in complained[0]
    assert visible(tmp_path / "real") == []


@pytest.fixture
def umons(server):
    """The record as Zenodo describes it: each file's name, address and MD5."""
    archive = zipped(
        {f"Segmented_Kinect/G0{k}/P01T01C01G0{k}D01S01.txt": kinect_text(body(seed=k), stamps(60)) for k in (6, 8)}
        | {"Segmented_Kinect/license.txt": "CC", "__MACOSX/Segmented_Kinect/._P01T01C01G06D01S01.txt": "mac"}
    )
    server.files |= {"/zip": archive, "/raw/Metadata.txt": METADATA.encode()}
    server.md5 = hashlib.md5(archive).hexdigest()

    def describe(**others):
        listed = {"Segmented_Kinect.zip": ("/zip", server.md5), **others}
        files = [{"key": key, "checksum": f"md5:{md5}", "links": {"self": server.url + at}} for key, (at, md5) in listed.items()]
        server.files["/api/records/2784581"] = json.dumps({"id": 2784581, "files": files}).encode()

    server.describe = describe
    describe()
    return server


def test_umons_taichi_comes_with_its_people(tmp_path, umons, capsys):
    out = tmp_path / "real"
    code, said, complained = fetch("umons-taichi", out, capsys)
    assert code == 0 and complained == [] and "CC BY-NC-SA 4.0" in said[0]
    names = [f"Segmented_Kinect/P01T01C01G0{k}D01S01.txt" for k in (6, 8)]
    assert visible(out) == ["Metadata.txt", *names, "dataset.json"]
    dataset = datasets.load(out)
    assert list(dataset.index["level"]) == ["expert", "expert"] and list(dataset.index["dancer"]) == ["P01", "P01"]
    assert [entry["sha256"] for entry in dataset.facts["downloads"]] == [
        hashlib.sha256(umons.files[path]).hexdigest() for path in ("/raw/Metadata.txt", "/zip")
    ]
    assert cli.main(["data", "check", str(out)]) == 0
    card = capsys.readouterr().out
    assert next(line for line in card.splitlines() if line.startswith("Scores")).endswith("2 of 2, 9.4")  # in the experts' range


def test_metadata_of_the_record_itself_comes_first(tmp_path, umons, capsys):
    umons.files["/own"] = umons.files.pop("/raw/Metadata.txt")
    umons.describe(**{"Metadata.txt": ("/own", "")})
    assert fetch("umons-taichi", tmp_path / "real", capsys)[0] == 0


def test_an_archive_with_another_md5_is_not_kept(tmp_path, umons, capsys):
    umons.md5 = "0" * 32
    umons.describe()
    code, _, complained = fetch("umons-taichi", tmp_path / "real", capsys)
    assert code == 2 and len(complained) == 1 and "MD5" in complained[0]
    assert visible(tmp_path / "real") == ["Metadata.txt"] and not (tmp_path / "real" / ".fetch").exists()


@pytest.mark.parametrize("record", [b"<html>", b"[]", b'{"files": []}', b'{"files": [{"key": "Segmented_Kinect.zip"}]}'])
def test_a_record_in_another_form_is_one_line(tmp_path, umons, capsys, record):
    umons.files["/api/records/2784581"] = record
    code, _, complained = fetch("umons-taichi", tmp_path / "real", capsys)
    assert code == 2 and len(complained) == 1 and "zenodo.org/records/2784581" in complained[0] and list(tmp_path.iterdir()) == []


def test_aistpp_reads_its_ignore_list_out_of_the_large_archive(tmp_path, server, capsys):
    other = AIST_NAME.replace("ch08", "ch09")
    for name in (AIST_NAME, other):
        write_aistpp(tmp_path / "made", name)
    keypoints = {f"keypoints3d/{name}": (tmp_path / "made" / "keypoints3d" / name).read_bytes() for name in (AIST_NAME, other)}
    large = np.random.default_rng(0).bytes(5 << 20)
    list_of_faults = f"{other[:-4]}\n".encode()
    full = zipped({"aist_plusplus_final/motions/x.pkl": large, "aist_plusplus_final/ignore_list.txt": list_of_faults})
    server.files |= {"/store/keypoints3d.zip": zipped(keypoints), "/store/fullset.zip": full}
    out = tmp_path / "real"
    code, said, complained = fetch("aistpp", out, capsys)
    assert code == 0 and complained == [] and "CC BY 4.0" in said[0] and "Music and videos" in said[0]
    assert visible(out) == sorted(["dataset.json", "ignore_list.txt", *keypoints])
    spans = [span for path, span in server.asked if path == "/store/fullset.zip"]
    low = [int(span.removeprefix("bytes=").split("-")[0]) for span in spans]
    assert None not in spans and sum(0 < start < 3 << 20 for start in low) == 0  # not the large member
    facts = json.loads((out / "dataset.json").read_bytes())
    assert facts["downloads"][0]["sha256"] == hashlib.sha256(list_of_faults).hexdigest()
    dataset = datasets.load(out)
    assert len(dataset) == 1 and "as ignore_list.txt says" in dataset.left_out[0]
    assert cli.main(["data", "check", str(out)]) == 0


def test_a_server_without_ranges_does_not_send_the_large_archive(tmp_path, server, capsys):
    server.files["/store/fullset.zip"] = zipped({"ignore_list.txt": "x"})
    server.plain.add("/store/fullset.zip")
    code, _, complained = fetch("aistpp", tmp_path / "real", capsys)
    assert code == 2 and len(complained) == 1 and "sends no ranges" in complained[0] and list(tmp_path.iterdir()) == []
