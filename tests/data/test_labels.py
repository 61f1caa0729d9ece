"""Label sets, and what users write to mean classes."""

import subprocess
import sys

import pytest

from genstudio.data.labels import FASHION, labels, names_of, parse_classes
from genstudio.errors import GenstudioError


def test_imagenet_names_equal_torchvisions() -> None:
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    assert labels("imagenet") == tuple(_IMAGENET_CATEGORIES)
    assert labels("imagenet")[207] == "golden retriever"


def test_names_cost_no_torch() -> None:
    code = "import sys, genstudio.data.labels as l; l.labels('imagenet'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("7", (7,)),
        ("0-3", (0, 1, 2, 3)),
        ("8, 2-3,8", (8, 2, 3, 8)),
        ("ankle boot", (9,)),
        ("ANKLE_BOOT,T-shirt/top", (9, 0)),
        ("tshirt/top, 1", (0, 1)),
    ],
)
def test_ids_ranges_and_names(text: str, ids: tuple[int, ...]) -> None:
    assert parse_classes(text, FASHION) == ids


def test_names_with_hyphens_are_no_ranges() -> None:
    assert parse_classes("animal-mammal,animal bird", ("animal-bird", "animal-mammal")) == (1, 0)


@pytest.mark.parametrize("text", ["10", "-1", "5-3", "8-10"])
def test_ids_out_of_range_state_the_range(text: str) -> None:
    with pytest.raises(GenstudioError, match="out of range") as caught:
        parse_classes(text, FASHION)
    assert "0 to 9" in caught.value.hint and caught.value.code == 2


def test_an_unknown_name_brings_the_nearest() -> None:
    with pytest.raises(GenstudioError, match="no class 'snaeker'") as caught:
        parse_classes("snaeker", FASHION)
    assert "Sneaker" in caught.value.hint
    with pytest.raises(GenstudioError, match="no class 'goldn retriever'") as caught:
        parse_classes("goldn retriever", labels("imagenet"))
    assert "golden retriever" in caught.value.hint


def test_a_name_of_two_classes_asks_for_the_id() -> None:
    with pytest.raises(GenstudioError, match="names the classes 0 and 2"):
        parse_classes("crane", ("crane", "dog", "Crane"))


def test_names_of_a_release() -> None:
    assert names_of("fashion", 10) == FASHION
    assert names_of(("cat", "dog"), 2) == ("cat", "dog")
    assert names_of(None, 3) == ("0", "1", "2")
    with pytest.raises(GenstudioError, match="10 names"):
        names_of("fashion", 11)
    with pytest.raises(GenstudioError, match="no label set"):
        names_of("fashoin", 10)
