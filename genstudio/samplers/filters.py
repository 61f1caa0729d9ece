"""Filters of the predicted distribution: temperature, top-k, top-p, allowed ids, in the order given.

The rules are VAR's (arXiv 2404.02905) and LlamaGen's: top-k removes what lies strictly below the k-th largest
logit, so ties at the threshold stay; top-p removes the least likely ids up to a total share of 1 - p, so the
id that crosses p stays and the most likely one always does. Official code sorts the whole vocabulary for
top-p; here only the candidates that are left are sorted. Shapes: any leading ones, V categories last.
"""

import torch
from torch import Tensor

from genstudio.samplers.recipe import Allow, Filter, Temperature, TopK, TopP


def apply(filters: tuple[Filter, ...], logits: Tensor) -> Tensor:
    """Logits after every filter; removed entries are -inf. The argument is never changed."""
    for one in filters:
        logits = _apply_one(one, logits)
    return logits


def _apply_one(one: Filter, logits: Tensor) -> Tensor:
    match one:
        case Temperature(value=value):
            return logits / value
        case TopK(k=k):
            return _top_k(logits, k)
        case TopP(p=p):
            return _top_p(logits, p)
        case Allow(first=first, stop=stop):
            return _allow(logits, first, stop)


def _top_k(logits: Tensor, k: int) -> Tensor:
    if k >= logits.shape[-1]:
        return logits
    threshold = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, -torch.inf)


def _top_p(logits: Tensor, p: float) -> Tensor:
    """p = 0 keeps the most likely id alone, p = 1 every id."""
    if p >= 1:
        return logits
    ascending, ids = (part.flip(-1) for part in logits.topk(_candidates(logits), dim=-1))
    removed = ascending.softmax(-1).cumsum(-1) <= 1 - p
    removed[..., -1] = False
    kept = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, ids, ~removed)
    return logits.masked_fill(~kept, -torch.inf)


def _candidates(logits: Tensor) -> int:
    """How many ids have to be sorted: the fullest row's. On a GPU all of them, since a count would wait."""
    if logits.device.type != "cpu":
        return logits.shape[-1]
    return int(logits.isfinite().sum(-1).max())


def _allow(logits: Tensor, first: int, stop: int) -> Tensor:
    ids_V = torch.arange(logits.shape[-1], device=logits.device)
    return logits.masked_fill((ids_V < first) | (ids_V >= stop), -torch.inf)
