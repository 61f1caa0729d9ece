"""`genstudio models pull` against a hub on this machine: cut, wrong, missing, offline, on a full disk."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from genstudio.cli.console import Meter
from genstudio.errors import Exit
from genstudio.files import digest
from genstudio.releases import catalogue, hub, pull, records, weights
from genstudio.releases.hub import Wanted
from genstudio.releases.places import expected, place, size_text
from genstudio.releases.release import Config, File, Release, to_json
from genstudio.releases.rename import to_official
from genstudio.releases.tables import table_for
from tests.releases import tiny
from tests.releases.hub_server import COMMITS, REPO, Hub, serving
from tests.support import Ran, genstudio

GENERATOR, TOKENIZER = "var_tiny.pth", "vae_tiny.pth"
CHUNK = 10_000
CACHED = Wanted("var-tiny", REPO, GENERATOR)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    """A hub that has two files at `main`, and another generator at `old`."""
    with serving() as one:
        one.files = {GENERATOR: _file(tiny.GENERATOR), TOKENIZER: _file(tiny.VQ)}
        one.old = {GENERATOR: _file(tiny.GENERATOR, seed=1)}
        yield one


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> Release:
    """A tiny pair in the catalogue, as if its authors had published it on that hub."""
    generator, tokenizer = _releases()
    monkeypatch.setitem(catalogue.OFFICIAL, generator.name, generator)
    monkeypatch.setitem(catalogue.OFFICIAL, tokenizer.name, tokenizer)
    return generator


@pytest.fixture
def here(server: Hub, released: Release, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """This process asks the hub on this machine, with a cache of its own and no waiting between tries."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    close_session()
    return server


def _file(config: Config, seed: int = 0) -> bytes:
    content = io.BytesIO()
    torch.save(to_official(tiny.network(config, seed).state_dict(), table_for(config)), content)
    return content.getvalue()


def _releases() -> tuple[Release, Release]:
    generator = replace(tiny.release(tiny.GENERATOR, "var-tiny"), tokenizer="vae-tiny")
    tokenizer = tiny.release(tiny.VQ, "vae-tiny")
    return (
        replace(generator, file=File(hub=REPO, name=GENERATOR)),
        replace(tokenizer, file=File(hub=REPO, name=TOKENIZER)),
    )


def _ways(ran: Ran) -> list[dict]:
    return ran.data["parts"]


def _part() -> Path:
    """What a cut download of the generator left."""
    (path,) = Path(constants.HF_HUB_CACHE).rglob("*.incomplete")
    return path


def _same_as_published(release: Release, seed: int = 0) -> bool:
    published = tiny.network(release.config, seed).state_dict()
    return all(torch.equal(value, published[name]) for name, value in weights.read(expected(release)).items())


def test_a_generator_and_its_tokenizer_come_with_sizes_first_and_can_be_used(
    here: Hub, released: Release
) -> None:
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.OK, ran.err
    size = size_text(len(here.files[GENERATOR]))
    assert ran.err.splitlines()[0] == f"var-tiny: {GENERATOR} from {REPO}, {size}"
    assert "34 tensors" in ran.out and "seen for the first time and recorded" in ran.out
    assert _same_as_published(released)
    assert place(catalogue.find("vae-tiny")) == "imported"
    assert genstudio("sample", "var-tiny", "-n", "1", "--dry-run").code == Exit.OK


def test_what_is_here_is_not_asked_for(here: Hub, released: Release, home: Path) -> None:
    genstudio("models", "pull", "var-tiny")
    here.asked.clear()
    again = genstudio("models", "pull", "var-tiny", "--json")
    assert [one["imported"] for one in _ways(again)] == [None, None]
    expected(released).unlink()
    from_cache = genstudio("models", "pull", "var-tiny", "--json")
    assert _ways(from_cache)[0]["imported"]["tensors"] == 34
    assert _ways(from_cache)[0]["downloaded"] == 0
    assert here.asked == []


def test_a_cut_connection_is_taken_up_again_within_a_run(here: Hub, released: Release) -> None:
    here.cuts = [30_000, 20_000]
    ran = genstudio("models", "pull", "var-tiny", "--json")
    assert ran.code == Exit.OK
    assert here.downloads()[:3] == [None, "bytes=30000-", "bytes=50000-"]
    assert _same_as_published(released)


def test_a_download_that_was_cut_for_good_is_gone_on_with_by_the_next_run(
    here: Hub, released: Release
) -> None:
    here.cuts = [30_000] + [0] * 9
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.WEIGHTS
    assert "30.0 kB are kept" in ran.err
    assert _part().stat().st_size == 30_000 and place(released) == "missing"
    here.cuts.clear()
    here.asked.clear()
    again = genstudio("models", "pull", "var-tiny", "--json")
    assert here.downloads()[0] == "bytes=30000-"
    assert _ways(again)[0]["downloaded"] == len(here.files[GENERATOR]) - 30_000
    assert _same_as_published(released)


def test_content_on_another_host_is_gone_on_with_there_and_the_token_stays_with_the_hub(
    here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the real hub does: it answers itself who, which and how large, and redirects to where files lie."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    here.elsewhere, here.cuts = True, [30_000]
    ran = genstudio("models", "pull", "var-tiny", "--json")
    assert ran.code == Exit.OK, ran.out
    assert _same_as_published(released)
    content = [one for one in here.asked if one.host == "localhost"]
    assert [one.range for one in content][:2] == [None, "bytes=30000-"]
    assert {one.token for one in content} == {None}
    assert {one.token for one in here.asked if one.host == "127.0.0.1"} == {"Bearer hf_secret"}


def test_ctrl_c_keeps_what_came(here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Meter, done: float, stands: str = "") -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "reach", interrupted)
        patch.setattr(Meter, "skip", lambda self, done: None)
        assert genstudio("models", "pull", "var-tiny").code == Exit.INTERRUPTED
    assert _part().stat().st_size == 10_000
    assert genstudio("models", "pull", "var-tiny").code == Exit.OK
    assert here.downloads()[1] == "bytes=10000-"


def test_a_wrong_hash_is_refused_and_nothing_of_it_stays(here: Hub, released: Release, home: Path) -> None:
    here.etags[GENERATOR] = "0" * 64
    ran = genstudio("models", "pull", "var-tiny", "--json")
    assert ran.data["error"]["code"] == ran.code == Exit.CHECK
    assert "000000000000" in ran.data["error"]["message"]
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete")) and hub.cached(CACHED) is None
    assert not home.exists()


def test_a_spoilt_part_is_found_by_its_hash_and_then_loaded_anew(here: Hub, released: Release) -> None:
    here.cuts = [30_000] + [0] * 9
    genstudio("models", "pull", "var-tiny")
    _part().write_bytes(b"x" * 30_000)
    here.cuts.clear()
    assert genstudio("models", "pull", "var-tiny").code == Exit.CHECK
    assert genstudio("models", "pull", "var-tiny").code == Exit.OK
    assert _same_as_published(released)


def test_a_part_that_is_too_long_is_begun_again(here: Hub, released: Release) -> None:
    here.cuts = [30_000] + [0] * 9
    genstudio("models", "pull", "var-tiny")
    _part().write_bytes(bytes(len(here.files[GENERATOR]) + 5))
    here.cuts.clear()
    assert genstudio("models", "pull", "var-tiny").code == Exit.OK
    assert _same_as_published(released)


def test_a_file_other_than_the_published_one_is_not_even_downloaded(
    here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(released, file=File(hub=REPO, name=GENERATOR, sha256="1" * 64))
    monkeypatch.setitem(catalogue.OFFICIAL, "var-tiny", known)
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.CHECK and "is not the file that was published" in ran.err
    assert here.downloads() == []


def test_a_half_pulled_file_in_the_cache_is_named(here: Hub, released: Release) -> None:
    """As a copy from another machine that was broken off leaves it."""
    genstudio("models", "pull", "var-tiny")
    path = hub.cached(CACHED)
    assert path is not None
    blob = path.resolve()
    blob.write_bytes(blob.read_bytes()[:40_000])
    expected(released).unlink()
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.CHECK and f"Remove {blob}" in ran.err
    blob.unlink()
    assert genstudio("models", "pull", "var-tiny").code == Exit.OK


def test_another_model_under_that_name_is_told_what_it_is(here: Hub, released: Release) -> None:
    here.files[GENERATOR] = _file(replace(tiny.GENERATOR, depth=3))
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.WEIGHTS and "looks like a VAR transformer of depth 3" in ran.err
    assert place(released) == "missing"


def test_a_revision_takes_the_place_of_what_was_imported(here: Hub, released: Release) -> None:
    genstudio("models", "pull", "var-tiny")
    ran = genstudio("models", "pull", "var-tiny", "--revision", "old", "--json")
    assert ran.code == Exit.OK, ran.out
    assert _ways(ran)[0]["commit"] == COMMITS["old"]
    assert _same_as_published(released, seed=1)
    here.asked.clear()
    again = genstudio("models", "pull", "var-tiny", "--revision", COMMITS["old"], "--json")
    assert [one["imported"] for one in _ways(again)] == [None, None] and here.asked == []
    assert records.known(f"{REPO}/{GENERATOR}") == digest(hub.cached(CACHED) or Path())


def test_a_branch_that_moves_during_the_download_does_not_mix_files(
    here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = hub.settle

    def moved(temporary: Path, path: Path) -> None:
        here.commits["main"] = COMMITS["old"]
        settle(temporary, path)

    monkeypatch.setattr(hub, "settle", moved)
    ran = genstudio("models", "pull", "var-tiny", "--json")
    assert _ways(ran)[0]["imported"]["sha256"] == hashlib.sha256(here.files[GENERATOR]).hexdigest()
    assert _same_as_published(released)


MISHAPS = {
    "file": (lambda one: one.files.clear(), f"has no file {GENERATOR} at revision main", "models import"),
    "server": (lambda one: setattr(one, "status", 503), "answered with status 503", "again later"),
    "plain": (lambda one: setattr(one, "status", 404), f"has no file {GENERATOR}", "models import"),
    "no hub": (lambda one: setattr(one, "about", False), "does not answer as a hub does", "HF_ENDPOINT"),
}


@pytest.mark.parametrize("mishap", MISHAPS)
def test_what_the_hub_does_not_have_is_two_lines_and_a_way_out(
    mishap: str, here: Hub, released: Release, home: Path
) -> None:
    make, message, hint = MISHAPS[mishap]
    make(here)
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.WEIGHTS and len(ran.err.splitlines()) == 2
    assert message in ran.err.splitlines()[0] and hint in ran.err.splitlines()[1]
    as_json = genstudio("models", "pull", "var-tiny", "--json")
    assert as_json.data["error"]["code"] == Exit.WEIGHTS and as_json.err == ""
    assert not home.exists()


def test_an_unknown_revision_and_a_model_that_comes_from_no_hub(here: Hub, released: Release) -> None:
    ran = genstudio("models", "pull", "var-tiny", "--revision", "nowhere")
    assert ran.code == Exit.WEIGHTS and "has no revision nowhere" in ran.err
    ran = genstudio("models", "pull", "var-fashion", "--revision", "main")
    assert ran.code == Exit.USAGE and "comes from no hub" in ran.err
    assert genstudio("models", "pull", "var-fashion").code == Exit.OK
    assert "Did you mean var-tiny" in genstudio("models", "pull", "var-tyni").err


def test_a_private_repository_asks_for_a_token(
    here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(released, file=File(hub="someone/private", name=GENERATOR))
    monkeypatch.setitem(catalogue.OFFICIAL, "var-tiny", other)
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.WEIGHTS
    assert "someone/private, or it is private" in ran.err and "HF_TOKEN" in ran.err


def test_nobody_answers(here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.WEIGHTS and len(ran.err.splitlines()) == 2
    assert "http://127.0.0.1:9 cannot be reached" in ran.err and "models import" in ran.err


def test_a_full_disk_during_a_pull_installs_nothing_and_goes_on_later(
    here: Hub, released: Release, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = hub._Watched.write, []

    def full(self: hub._Watched, data: bytes) -> int:
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(len(data))
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(hub._Watched, "write", full)
        ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.USAGE
    assert "The disk is full" in ran.err and "HF_HOME" in ran.err
    assert hub.cached(CACHED) is None and not home.exists()
    assert genstudio("models", "pull", "var-tiny").code == Exit.OK
    assert here.downloads()[1] == "bytes=30000-"


def test_a_disk_without_room_is_told_before_anything_is_downloaded(
    here: Hub, released: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "free_bytes", lambda path: 100_000)
    ran = genstudio("models", "pull", "var-tiny")
    assert ran.code == Exit.USAGE and "100.0 kB are free" in ran.err
    assert here.downloads() == [] and here.asked != []


COMMAND = """
import sys
from huggingface_hub import constants
from genstudio.releases import catalogue
constants.DOWNLOAD_CHUNK_SIZE = 10_000
from genstudio.releases.release import from_json
for path in sys.argv[1:3]:
    release = from_json(open(path).read())
    catalogue.OFFICIAL[release.name] = release
if sys.argv[3] == "alone":
    def deaf(event, arguments):
        if event.startswith("socket."):
            raise RuntimeError("a socket was opened")
    sys.addaudithook(deaf)
from genstudio.cli.main import main
sys.argv = ["genstudio", *sys.argv[4:]]
main()
"""


def _process(
    tmp_path: Path, url: str, *words: str, alone: bool = False, **more: str
) -> subprocess.Popen[str]:
    """`genstudio WORDS` in a process of its own, which reads the hub's variables as users set them."""
    paths = []
    for release in _releases():
        paths.append(tmp_path / f"{release.name}.json")
        paths[-1].write_text(to_json(release))
    ours = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(tmp_path / "hf"),
        "NO_PROXY": "127.0.0.1",
        "HF_TOKEN": "hf_secret",
    }
    environment = {**os.environ, **ours, "GENSTUDIO_HOME": str(tmp_path / "home"), **more}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, paths), "alone" if alone else "", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_the_environment_and_a_full_cache_without_a_network(
    server: Hub, tmp_path: Path
) -> None:
    """HF_ENDPOINT, HF_HOME and HF_TOKEN are obeyed, a killed download is gone on with; then offline."""
    server.stall = 30_000
    first = _process(tmp_path, server.url, "models", "pull", "var-tiny", "-q")
    assert server.stalled.wait(60)
    while not any(path.stat().st_size == 30_000 for path in (tmp_path / "hf").rglob("*.incomplete")):
        time.sleep(0.01)
    first.kill()
    first.communicate()
    server.go_on.set()
    second = _process(tmp_path, server.url, "models", "pull", "var-tiny", "--json")
    out, err = second.communicate(timeout=60)
    assert second.returncode == Exit.OK, err
    assert json.loads(out)["parts"][0]["release"] == "var-tiny"
    assert server.downloads()[1] == "bytes=30000-"
    assert {one.token for one in server.asked if one.about_a_file} == {"Bearer hf_secret"}
    assert (tmp_path / "hf" / "hub" / "models--someone--var" / "refs" / "main").is_file()

    for name in ("var-tiny", "vae-tiny"):
        (tmp_path / "home" / "models" / name / "model.safetensors").unlink()
    server.asked.clear()
    third = _process(
        tmp_path, server.url, "models", "pull", "var-tiny", "--json", alone=True, HF_HUB_OFFLINE="1"
    )
    out, err = third.communicate(timeout=60)
    assert third.returncode == Exit.OK, err
    assert [one["imported"]["tensors"] for one in json.loads(out)["parts"]] == [34, 143]
    assert server.asked == []


def test_the_block_on_sockets_of_these_tests_does_block(tmp_path: Path) -> None:
    ran = _process(tmp_path, "http://127.0.0.1:9", "models", "pull", "var-tiny", alone=True)
    assert "a socket was opened" in ran.communicate(timeout=60)[1]


def test_offline_with_nothing_here_says_what_to_copy_where(tmp_path: Path) -> None:
    ran = _process(
        tmp_path, "http://127.0.0.1:9", "models", "pull", "var-tiny", alone=True, HF_HUB_OFFLINE="1"
    )
    out, err = ran.communicate(timeout=60)
    assert ran.returncode == Exit.WEIGHTS and out == ""
    first, second = err.splitlines()
    assert "HF_HUB_OFFLINE" in first
    assert (
        f"Copy the folder models--someone--var of another machine's hub cache to {tmp_path / 'hf' / 'hub'}"
        in second
    )
    assert f"genstudio models import {GENERATOR} --as var-tiny" in second
