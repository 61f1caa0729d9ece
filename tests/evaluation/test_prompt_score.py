"""The prompt score: what counts, what does not, and that real emoji keep their captions."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.data.attributes import ATTRIBUTES, UNANSWERED, answer_indices
from genstudio.data.pictures import Captioned
from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError
from genstudio.evaluation.extractor import open_extractor
from genstudio.evaluation.prompt_score import Heads, another, prompt_score
from tests.data.test_emoji import needs_emoji

WOMAN, MAN = "woman cook: dark skin tone", "man: light skin tone, red hair"


def saying(*captions: str) -> Heads:
    """Heads that read off the pictures what these captions state."""
    answer_NQ = torch.tensor([answer_indices(caption) for caption in captions])
    columns = zip(answer_NQ.clamp_min(0).T, ATTRIBUTES, strict=True)
    return Heads(torch.cat([_one_hot(values_N, len(one.values)) for values_N, one in columns], dim=1))


def _one_hot(values_N: Tensor, values: int) -> Tensor:
    return F.one_hot(values_N, values).float()


def test_a_picture_that_keeps_to_its_caption_scores_1_and_beside_another_caption_less() -> None:
    score = prompt_score(saying(WOMAN, MAN), [WOMAN, MAN], ATTRIBUTES)
    assert (score.share, score.captions, score.wrong, score.real) == (1.0, 2, 0.0, None)
    assert score.per_attribute == {"skin_tone": (1.0, 2), "gender": (1.0, 2), "hair": (1.0, 1)}


def test_every_caption_weighs_the_same_however_much_it_states() -> None:
    score = prompt_score(saying("cook", "man: dark skin tone"), ["cook", MAN], ATTRIBUTES)
    assert score.share == pytest.approx((1 / 1 + 1 / 3) / 2)
    assert score.per_attribute == {"skin_tone": (0.0, 1), "gender": (1.0, 2), "hair": (0.0, 1)}


def test_what_a_caption_leaves_open_is_not_counted() -> None:
    captions = ["woman", "grapes", "old man"]
    score = prompt_score(saying(WOMAN, MAN, "man: bald"), captions, ATTRIBUTES)
    assert score.captions == 2 and score.share == 1.0
    assert score.per_attribute == {"gender": (1.0, 2)}


def test_classes_count_where_they_are_known() -> None:
    logits_NK = torch.eye(4)[[3, 0]]
    made = Heads(saying("grapes", "grapes").attributes_NA, logits_NK)
    score = prompt_score(
        made,
        ["grapes", "melon"],
        ATTRIBUTES,
        labels_N=torch.tensor([3, 1]),
        real=Heads(made[0], torch.eye(4)[[3, 1]]),
    )
    assert score.per_attribute == {"class": (0.5, 2)}
    assert (score.share, score.real, score.wrong) == (0.5, 1.0, 0.0)
    unknown = prompt_score(made, ["grapes", "melon"], ATTRIBUTES, labels_N=torch.tensor([3, UNANSWERED]))
    assert (unknown.share, unknown.captions) == (1.0, 1)


def test_captions_that_state_nothing_are_refused() -> None:
    with pytest.raises(GenstudioError, match="No caption states") as caught:
        prompt_score(saying("grapes"), ["grapes"], ATTRIBUTES)
    assert "skin_tone, gender, hair" in caught.value.hint


def test_another_caption_is_always_another_one() -> None:
    captions = ["a", "b", "a", "c", "b", "d", "a", "e"]
    other_N = another(captions)
    assert other_N is not None
    assert all(captions[other] != caption for other, caption in zip(other_N.tolist(), captions, strict=True))
    assert {captions[other] for other in other_N.tolist()} == set(captions)
    assert another(["a", "a"]) is None


@needs_emoji
def test_held_out_emoji_keep_their_captions_and_not_those_of_others() -> None:
    extractor, test = open_extractor("emoji-features"), open_pictures("emoji", "test", 64, 3)
    assert isinstance(test, Captioned)
    places = range(len(test))
    found = extractor(test.pixels(places))
    assert found.attributes_BA is not None
    heads = Heads(found.attributes_BA, found.logits_BK)
    captions, label_N = test.captions(places), test.labels(places)
    score = prompt_score(heads, captions, extractor.attributes, labels_N=label_N, real=heads)
    assert score.real == score.share > 0.9 and score.wrong is not None and score.wrong < 0.35
