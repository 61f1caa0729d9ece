"""Which replay belongs to which method, and the report of `scripts/parity.py`.

Exit codes: 0 only if every output of every folder was compared and lies within its tolerance; 2 for a method
that has no replay; 5 otherwise.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.parity.fixture import Fixture, Verdict

Replay = Callable[[Fixture], dict[str, Tensor]]

# The beginning of meta.json's `method`, and where its replay stands.
REPLAYS = {
    "VAR multi-scale VQVAE": "genstudio.parity.var:replay_tokenizer",
    "VAR transformer": "genstudio.parity.var:replay_transformer",
    "LlamaGen VQ tokenizer": "genstudio.parity.llamagen_vq:replay",
    "LlamaGen GPT": "genstudio.parity.llamagen:replay",
    "SJD probabilistic convergence criterion": "genstudio.parity.sjd:replay_criterion",
    "SJD (speculative Jacobi decoding) full run": "genstudio.parity.sjd:replay_run",
    "LANTERN / LANTERN++ relaxed acceptance": "genstudio.parity.lantern:replay_acceptance",
    "LANTERN and LANTERN++ full": "genstudio.parity.lantern_run:replay_run",
    "NAR image": "genstudio.parity.nar:replay",
    "MAR KL-VAE": "genstudio.parity.mar_vae:replay",
    "MAR encoder/decoder": "genstudio.parity.mar:replay_network",
    "MAR sample_tokens": "genstudio.parity.mar_sample:replay_samples",
    "continuous speculative decoding (CSpD) on MAR": "genstudio.parity.cspd:replay",
    "DiSA on MAR": "genstudio.parity.mar_sample:replay_annealed",
    "MAR DiffLoss": "genstudio.parity.mar_diffusion:replay",
    "Distilled Decoding: deterministic noise-to-token flow-matching map": "genstudio.parity.flow_map:replay",
    "Distilled Decoding (VAR student)": "genstudio.parity.students:replay_var",
    "Distilled Decoding (LlamaGen student)": "genstudio.parity.students:replay_llamagen",
    "Metrics": "genstudio.parity.metrics:replay",
}


def main(folders: Sequence[Path]) -> Exit:
    """Replay every folder, print a line per output tensor and a count per folder."""
    verdicts = [check(folder) for folder in folders]
    return Exit.OK if all(verdicts) else Exit.CHECK


def check(folder: Path) -> bool:
    """Replay one folder and print its report; True if all of it holds."""
    fixture = Fixture(folder)
    made = find(fixture.method)(fixture)
    verdicts = fixture.compare(made)
    print(f"{folder.name}: {fixture.method}")
    for verdict in verdicts:
        print(_line(verdict))
    total = len(fixture.outputs)
    print(f"covered {len(verdicts)} of {total} outputs\n")
    return len(verdicts) == total and all(verdict.fine for verdict in verdicts)


def find(method: str) -> Replay:
    """The replay of a method. Raises GenstudioError (exit code 2) when there is none."""
    for beginning, place in REPLAYS.items():
        if method.startswith(beginning):
            module, name = place.split(":")
            replay: Replay = getattr(import_module(module), name)
            return replay
    raise GenstudioError(
        f"There is no replay for {method!r}.", f"Known are: {', '.join(REPLAYS)}.", Exit.USAGE
    )


def _line(verdict: Verdict) -> str:
    state = "ok" if verdict.fine else "FAIL"
    remark = f" ({verdict.remark})" if verdict.remark else ""
    return f"  {verdict.name:<28} error {verdict.error:.3e}  tolerance {verdict.allowed:.3e}  {state}{remark}"
