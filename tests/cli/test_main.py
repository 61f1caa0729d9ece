"""Who says what when several processes run one command."""

import json
from collections.abc import Callable

import pytest

from genstudio.cli.main import guarded
from genstudio.errors import Exit, GenstudioError

GLOO = "[third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:1965."


def failing(error: BaseException) -> Callable[[], object]:
    def body() -> object:
        raise error

    return body


@pytest.fixture(params=[0, 1])
def rank(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", str(request.param))
    return int(request.param)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_first_speaks_and_the_others_name_themselves(
    rank: int, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(GenstudioError("It is broken.", "Mend it.")), as_json) == Exit.USAGE
    out, err = capsys.readouterr()
    if rank == 1:
        assert (out, err) == ("", "process 1: It is broken. Mend it.\n")
    elif as_json:
        assert json.loads(out)["error"]["message"] == "It is broken." and err == ""
    else:
        assert (out, err) == ("", "It is broken.\nMend it.\n")


def test_ctrl_c_is_told_once(rank: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing(KeyboardInterrupt()), False) == Exit.INTERRUPTED
    assert capsys.readouterr().err.count("Interrupted.") == (1 if rank == 0 else 0)


def test_a_process_that_lost_another_says_so_without_a_traceback(
    rank: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(RuntimeError(GLOO)), False) == Exit.INTERNAL
    assert "Another process of this run has ended." in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="shapes differ"):
        guarded(failing(RuntimeError("shapes differ")), False)
