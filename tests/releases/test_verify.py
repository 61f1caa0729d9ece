"""`verify` passes weights that do their work and fails each kind of damage by the check made for it."""

from pathlib import Path

import pytest
import torch

from genstudio.errors import Exit, GenstudioError
from genstudio.releases import weights
from genstudio.releases.places import resolve
from genstudio.releases.release import to_json
from genstudio.releases.verify import verify_release
from genstudio.runtime import Runtime
from tests.releases import pair, tiny


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> pair.Pair:
    return pair.make(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def made(original: pair.Pair, tmp_path: Path, monkeypatch) -> pair.Pair:
    monkeypatch.setenv("GENSTUDIO_HOME", str(tmp_path / "home"))
    return original.copy(tmp_path)


def _failed(made: pair.Pair) -> list[str]:
    return [check.name for check in verify_release(*made.releases, Runtime()) if not check.ok]


def test_a_good_pair_passes_every_check(made: pair.Pair) -> None:
    checks = verify_release(*made.releases, Runtime())
    names = ["hash of gen", "hash of tok", "tensors of gen", "tensors of tok", "round trip", "loss"]
    assert [check.name for check in checks] == names
    assert all(check.ok for check in checks), checks


def test_a_pairing_with_another_codebook_shows_in_the_loss_alone(made: pair.Pair) -> None:
    """The same codes under other ids: everything loads, pictures survive, the generator knows nothing."""
    with torch.no_grad():
        made.tokenizer.quantize.codebook.weight.copy_(made.tokenizer.quantize.table_VC.roll(7, 0))
    made.save()
    assert _failed(made) == ["loss"]


def test_a_tokenizer_with_random_weights_fails_the_round_trip(made: pair.Pair) -> None:
    made.tokenizer.load_state_dict(tiny.network(tiny.VQ).state_dict())
    made.save()
    assert "round trip" in _failed(made)


def test_a_changed_byte_fails_the_hash(made: pair.Pair) -> None:
    path = resolve(made.releases[0])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "hash of gen" in _failed(made)


def test_numbers_that_are_not_finite_and_files_that_are_cut_fail_the_table(made: pair.Pair) -> None:
    with torch.no_grad():
        made.generator.head.weight[0, 0] = torch.nan
    made.save()
    assert _failed(made) == ["tensors of gen"]
    path = resolve(made.releases[0])
    path.write_bytes(path.read_bytes()[:-10])
    assert _failed(made) == ["hash of gen", "tensors of gen"]


def test_without_a_hash_the_first_one_seen_is_kept(made: pair.Pair) -> None:
    tokenizer = made.releases[1]
    plain = tiny.release(tiny.VQ, "tok")
    (made.tokenizer_folder / "release.json").write_text(to_json(plain))
    first = verify_release(made.releases[1], None, Runtime())[0]
    assert first.ok
    assert first.found.endswith("seen for the first time and recorded")
    weights.save(resolve(tokenizer), tiny.network(tiny.VQ), plain)
    assert not verify_release(made.releases[1], None, Runtime())[0].ok


def test_a_tokenizer_that_is_not_here_is_missing_weights(made: pair.Pair) -> None:
    release, tokenizer = made.releases
    resolve(tokenizer).unlink()
    with pytest.raises(GenstudioError, match="tok is not on this machine") as caught:
        verify_release(release, tokenizer, Runtime())
    assert caught.value.code == Exit.WEIGHTS
