"""Prompt score: how much of what a caption states a classifier's heads read back in the picture.

Ours, in the manner of GenEval (arXiv 2310.11513), with the heads of `emoji-features` in place of detectors. A
caption states an attribute when its value is not the first one: "woman cook: dark skin tone" states a woman
and a dark tone; "cook" states a person and no tone, so any tone will do. The class counts too where it is
given. The score means little alone: beside it stand that of the real pictures, which says how well the heads
read, and that of wrong captions, which says what chance reaches.
Shapes: N pictures, K classes, A values of all attributes together, Q attributes (the class among them).
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genstudio.configs.features import Attribute
from genstudio.data.attributes import UNANSWERED, answer_indices
from genstudio.errors import GenstudioError
from genstudio.evaluation.classifier import per_attribute

CLASS = "class"


class Heads(NamedTuple):
    """What the heads say of N pictures: logits [N,A] of the attributes' values and [N,K] of the classes."""

    attributes_NA: Tensor
    logits_NK: Tensor | None = None


class Share(NamedTuple):
    """Of the `captions` that state the attribute, the share whose pictures show it."""

    share: float
    captions: int


class PromptScore(NamedTuple):
    """`share`: of a caption's stated attributes the part read back, averaged over the `captions` that state
    any. `real` and `wrong` are the same of the real pictures, and of these pictures with other captions."""

    share: float
    captions: int
    per_attribute: dict[str, Share]
    real: float | None
    wrong: float | None


def prompt_score(
    made: Heads,
    captions: Sequence[str],
    attributes: tuple[Attribute, ...],
    *,
    labels_N: Tensor | None = None,
    real: Heads | None = None,
) -> PromptScore:
    """Score pictures made for `captions`, one each; `attributes` are those of the classifier's config.

    `labels_N` are the captions' classes, where known (UNANSWERED for single ones that are not); `real` what
    the heads say of real pictures with these captions. Raises GenstudioError where captions state nothing.
    """
    asked_NQ = _asked(captions, attributes, labels_N)
    if not (asked_NQ != UNANSWERED).any():
        raise GenstudioError(
            "No caption states anything that the classifier was taught to read.",
            f"Name one of: {', '.join(attribute.name for attribute in attributes)}.",
        )
    classes = labels_N is not None
    said_NQ, other_N = _said(made, attributes, classes), another(captions)
    return PromptScore(
        share=_share(said_NQ, asked_NQ),
        captions=int((asked_NQ != UNANSWERED).any(1).sum()),
        per_attribute=_columns(said_NQ, asked_NQ, [CLASS] * classes + [one.name for one in attributes]),
        real=None if real is None else _share(_said(real, attributes, classes), asked_NQ),
        wrong=None if other_N is None else _share(said_NQ, asked_NQ[other_N]),
    )


def another(captions: Sequence[str]) -> Tensor | None:
    """For every caption the place of a different one: distinct captions are turned by half their number, so
    that neighbours in a list, which resemble each other, do not meet. None where all are the same."""
    places = {caption: place for place, caption in reversed(list(enumerate(captions)))}
    distinct = sorted(places, key=places.__getitem__)
    if len(distinct) < 2:
        return None
    half = len(distinct) // 2
    turned = dict(zip(distinct, distinct[half:] + distinct[:half], strict=True))
    return torch.tensor([places[turned[caption]] for caption in captions])


def _asked(captions: Sequence[str], attributes: tuple[Attribute, ...], labels_N: Tensor | None) -> Tensor:
    """Stated values [N,Q], UNANSWERED elsewhere."""
    answer_NQ = torch.tensor([answer_indices(caption, attributes) for caption in captions])
    asked_NQ = answer_NQ.where(answer_NQ > 0, UNANSWERED)
    return asked_NQ if labels_N is None else torch.cat([labels_N.cpu()[:, None], asked_NQ], dim=1)


def _said(heads: Heads, attributes: tuple[Attribute, ...], classes: bool) -> Tensor:
    """Most likely values [N,Q]."""
    parts = list(per_attribute(heads.attributes_NA, attributes).values())
    if classes:
        assert heads.logits_NK is not None
        parts = [heads.logits_NK, *parts]
    return torch.stack([part.argmax(1).cpu() for part in parts], dim=1)


def _share(said_NQ: Tensor, asked_NQ: Tensor) -> float:
    stated_NQ = asked_NQ != UNANSWERED
    right_N, stated_N = (said_NQ == asked_NQ).logical_and(stated_NQ).sum(1), stated_NQ.sum(1)
    return float((right_N[stated_N > 0] / stated_N[stated_N > 0]).mean(dtype=torch.float64))


def _columns(said_NQ: Tensor, asked_NQ: Tensor, names: Sequence[str]) -> dict[str, Share]:
    right_NQ, stated_NQ = said_NQ == asked_NQ, asked_NQ != UNANSWERED
    counts = stated_NQ.sum(0).tolist()
    rights = (right_NQ & stated_NQ).sum(0).tolist()
    return {
        name: Share(right / count, count)
        for name, right, count in zip(names, rights, counts, strict=True)
        if count
    }
