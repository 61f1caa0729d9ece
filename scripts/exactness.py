"""Put samplers to the test on a trained release: do their codes follow the law of its network?

    python scripts/exactness.py llamagen-fashion -n 1000 > exactness.json

Plain sampling and every accelerator that promises its distribution have to pass; variants that are known to
be wrong have to be rejected, on as many pictures, by the same test (`genstudio.evaluation.rosenblatt`). A
right sampler is rejected with probability --error-rate. Exact ones have to make the plain sampler's codes.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any
from unittest import mock

import typer

from genstudio.cli.main import guarded
from genstudio.errors import Exit, GenstudioError

if TYPE_CHECKING:
    from torch import Tensor

    from genstudio.request import Request
    from genstudio.studio import Studio

app = typer.Typer(add_completion=False)


@app.command()
def exactness(
    model: Annotated[str, typer.Argument(help="A release whose codes follow one after the other.")],
    num: Annotated[int, typer.Option("-n", min=50, help="Pictures of every sampler.")] = 1000,
    batch: Annotated[int, typer.Option(min=1, help="Pictures sampled together.")] = 50,
    error_rate: Annotated[float, typer.Option(help="How often a right sampler may be rejected.")] = 1e-3,
    accel: Annotated[list[str] | None, typer.Option(help="These accelerators; all fitting if left.")] = None,
) -> None:
    """Print every sampler's fit and verdict as JSON; exit code 5 if one is not as it should be."""
    from genstudio.studio import Studio

    studio, failed = Studio.load(model), False
    plain_BL = None
    for name, texts, wrong, right in _samplers(studio, accel):
        with wrong:
            request = _request(studio, num, batch, texts)
            ids_BL, p = _sampled(studio, request)
        plain_BL = ids_BL if plain_BL is None else plain_BL
        row = {"sampler": name, "pictures": num, "right": right, **p}
        row["fits"] = row["p_value"] > error_rate and not row["excluded"]
        row["codes_as_plain"] = float((ids_BL == plain_BL).double().mean())
        failed |= row["fits"] != right or (texts[:1] == ["jacobi"] and row["codes_as_plain"] < 1)
        print(json.dumps(row), flush=True)
    if failed:
        raise GenstudioError("A sampler is not what it should be.", "See the lines above.", Exit.CHECK)


def _samplers(
    studio: "Studio", accel: list[str] | None
) -> Iterator[tuple[str, list[str], AbstractContextManager[Any], bool]]:
    """Name, `--accel`, what makes it wrong, and whether it should pass."""

    from genstudio.samplers.accelerators import choose_accelerators, promise
    from genstudio.samplers.exactness import Exactness
    from genstudio.samplers.speculate import kseq, proposers

    yield "plain", [], nullcontext(), True
    for text in accel or USUAL:
        chosen = choose_accelerators(studio.release, [text])
        keeps = promise(chosen, studio.release.recipe) != Exactness.LOSSY
        yield text, [text], nullcontext(), keeps
    drafting = next((text for text in accel or USUAL if text.startswith("spectr") and "k=4" in text), None)
    if drafting is not None:
        one = mock.patch.object(kseq, "smallest_rho", _one)
        yield f"{drafting}, rho = 1", [drafting], one, False
    even = mock.patch.object(proposers.F, "one_hot", _even)
    yield "sjd, copied drafts taken for even ones", ["sjd"], even, False


USUAL = ["jacobi", "sjd", "spectr:k=1", "spectr:k=2", "spectr:k=4", "lantern:k=0"]


def _one(p_RV: "Tensor", q_RV: "Tensor", k_R: "Tensor") -> "Tensor":
    """No division factor at all."""
    del q_RV, k_R
    return p_RV.new_ones(len(p_RV))


def _even(ids: "Tensor", codes: int) -> "Tensor":
    import torch

    return torch.full((*ids.shape, codes), 1 / codes)


def _request(studio: "Studio", num: int, batch: int, texts: list[str]) -> "Request":
    from genstudio.request import Request
    from genstudio.samplers.accelerators import choose_accelerators

    chosen = choose_accelerators(studio.release, texts)
    pictures, recipe = studio.any_pictures(num), studio.release.recipe
    return Request(
        model=studio.release.name, pictures=pictures, recipe=recipe, batch=batch, accelerators=chosen
    )


def _sampled(studio: "Studio", request: "Request") -> "tuple[Tensor, dict[str, Any]]":
    """The codes of all pictures, and how they fit."""
    import torch

    from genstudio.evaluation.rosenblatt import fit
    from genstudio.samplers.walk import Done, run

    codes, laws, seeds = [], [], []
    with torch.inference_mode():
        plan = studio.plan(request)
        for positions in request.batches():
            job = studio.job(request, positions, plan)
            *_, done = run(plan.walk, job)
            assert isinstance(done, Done)
            codes.append(done.codes.data[0])
            laws.append(_law(studio, job, done.codes))
            seeds.append(job.seed_B)
        ids_BL = torch.cat(codes)
        found = fit(torch.cat(laws), ids_BL, studio.draws, torch.cat(seeds))
    return ids_BL, found._asdict()


def _law(studio: "Studio", job: Any, codes: Any) -> "Tensor":
    """What every code of finished pictures is drawn from, given those before it: [B,L,V]."""
    import torch

    from genstudio.generators.methods import method_of
    from genstudio.samplers.picks import law
    from genstudio.samplers.values import Given

    method, generator = method_of(studio.generator), studio.generator
    given_BLV = method.logits(generator, studio.tokenizer, codes, job.given)
    null_B = torch.full_like(job.given.label_B, generator.config.classes)
    null_BLV = method.logits(generator, studio.tokenizer, codes, Given(label_B=null_B))
    weight_L1 = torch.tensor([[job.weight(unit)] for unit in generator.order.units()])
    return law(null_BLV + weight_L1.to(given_BLV.device) * (given_BLV - null_BLV), job.recipe)


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
