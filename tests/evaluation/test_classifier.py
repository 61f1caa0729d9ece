"""The classifier: size, shapes, independence of rows, and that it learns."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from genstudio import registry
from genstudio.configs.features import Attribute, ClassifierConfig
from genstudio.evaluation.classifier import Classifier
from genstudio.releases.release import Release, from_json, to_json

FASHION = ClassifierConfig(channels=1, pixels=32, width=24, features=128, classes=10)
ODD = ClassifierConfig(channels=3, pixels=20, width=6, features=5, classes=4)
ASKING = replace(
    ODD, attributes=(Attribute(name="tone", values=("light", "dark")), Attribute(name="hat", values=("no",)))
)


def test_the_bundled_size_is_small() -> None:
    assert sum(tensor.numel() for tensor in registry.build(FASHION).parameters()) == 268_498


def test_shapes_signs_and_lengths() -> None:
    network = Classifier(ODD).eval()
    x_BCHW = torch.rand(2, 3, 20, 20) * 2 - 1
    scores = network(x_BCHW)
    assert scores.features.shape == (2, 5) and scores.logits.shape == (2, 4)
    assert (scores.features >= 0).all()
    torch.testing.assert_close(scores.features.square().sum(1), torch.full((2,), 5.0))
    assert [tuple(one.shape[1:]) for one in network.maps(x_BCHW)] == [(6, 10, 10), (12, 5, 5), (24, 2, 2)]


def test_attributes_are_further_logits_and_change_nothing_else() -> None:
    plain, asking = Classifier(ODD), Classifier(ASKING)
    fresh = asking.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert fresh == ["attributes.weight", "attributes.bias"]
    x_BCHW = torch.rand(3, 3, 20, 20) * 2 - 1
    without, beside = plain(x_BCHW), asking(x_BCHW)
    assert without.attributes_BA is None and beside.attributes_BA is not None
    assert beside.attributes_BA.shape == (3, 3)
    torch.testing.assert_close(beside[:2], without[:2])


def test_attributes_are_part_of_a_release() -> None:
    release = Release(name="asking", title="", config=ASKING, licence=None, source="")
    assert from_json(to_json(release)) == release


def test_rows_do_not_influence_each_other_in_training_mode_either() -> None:
    network = Classifier(ODD).double().train()
    x_BCHW = torch.rand(4, 3, 20, 20, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(network(x_BCHW).logits[1:2], network(x_BCHW[1:2]).logits)


def test_it_learns_to_tell_left_from_right() -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(channels=1, pixels=16, width=4, features=8, classes=2)
    network = Classifier(config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    label_B = torch.arange(32) % 2
    x_BCHW = torch.randn(32, 1, 16, 16) * 0.5
    x_BCHW[label_B == 0, :, :, :8] += 0.5
    x_BCHW[label_B == 1, :, :, 8:] += 0.5
    for _ in range(20):
        loss = F.cross_entropy(network(x_BCHW).logits, label_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (network(x_BCHW).logits.argmax(1) == label_B).float().mean() > 0.95
