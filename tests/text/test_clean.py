"""Captions as LlamaGen reads them: every expected text is what its official cleaner, run twice, gives."""

import subprocess
import sys

import pytest

from genstudio.errors import GenstudioError
from genstudio.text import clean
from genstudio.text.clean import cleaned, lost

pytest.importorskip("ftfy", reason="needs the extra genstudio[text]")


@pytest.mark.parametrize(
    ("caption", "read"),
    [
        ("  A Red BIRD ", "a red bird"),
        ("red%20bird+on+a+branch", "red bird on a branch"),
        ("a <person> waving", "a person waving"),
        ("a red bird www.birds.co.uk", "a red bird uk"),
        ("a red bird, see https://www.birds.com/red", "a red bird, see"),
        ("https://birds.xyz/red a bird", "birds. xyz red a bird"),
        ("<b>a red</b> bird<br/><script>x = 1</script>", "a red bird"),
        ("bird &amp; fish &copy; me", "bird fish me"),
        ("AT&T; tower", "at t tower"),
        ("photo by @someone of a bird", "photo by of a bird"),
        ("a 红色的 bird 鳥", "a bird"),
        ("a bird — red – small", "a bird - red - small"),
        ("«red» “bird” `fish`", 'red" "bird" "fish'),
        ("it’s a bird", "it's a bird"),
        ("server 192.168.0.1 room", "server room"),
        ("#12 bird #12345 number 1234567", "bird number"),
        ("IMG_0042.JPG a bird", "a bird"),
        ("***SOLD OUT*** (bird) [red] {x} a\\nb", "sold out bird red x a b"),
        ("this-is-my-red-bird", "this is my red bird"),
        ("a well-known bird", "a well-known bird"),
        ("schÃ¶ner vogel", "schã¶ner vogel"),
        ("ab1234 bird 12ab34 and ab12cd a1b2c3", "bird and"),
        ("a bird, free shipping, free download", "a bird,"),
        ("click for more birds jpg images page 12", "birds"),
        ("bird 640x480 pixels", "bird pixels"),
        ("one.two,three a : b", "one. two, three a: b"),
        ("'a red bird'", "a red bird"),
        ("-a red bird-", "a red bird"),
        ("...a bird...", "a bird"),
        ("&lt;b&gt; a bird", "a bird"),
    ],
)
def test_what_is_read_of_a_caption(caption: str, read: str) -> None:
    assert cleaned(caption, "deepfloyd") == read


def test_cleaning_twice_takes_what_the_first_time_uncovers() -> None:
    assert clean._once("&lt;b&gt; a bird") == "<b> a bird"
    assert cleaned("&lt;b&gt; a bird", "deepfloyd") == "a bird"
    assert clean._once("-'a red bird'") == "'a red bird"
    assert cleaned("-'a red bird'", "deepfloyd") == "a red bird"


@pytest.mark.parametrize("caption", ["https://", "鳥", "IMG_0042.JPG", "***", "#12"])
def test_a_caption_of_which_nothing_is_left_is_refused(caption: str) -> None:
    with pytest.raises(GenstudioError, match="Nothing of the prompt") as caught:
        cleaned(caption, "deepfloyd")
    assert "English" in caught.value.hint


@pytest.mark.parametrize("rule", ["none", "deepfloyd"])
@pytest.mark.parametrize("caption", ["", "  ", "\n"])
def test_an_empty_caption_is_refused(caption: str, rule: str) -> None:
    with pytest.raises(GenstudioError, match="empty"):
        cleaned(caption, rule)  # type: ignore[arg-type]


def test_without_a_rule_a_caption_stays_as_it_is() -> None:
    assert cleaned(" A <b>Red</b> 鳥 ", "none") == " A <b>Red</b> 鳥 "


def test_users_hear_which_words_are_gone() -> None:
    caption = "A 红色的 Bird by @someone, 640x480"
    assert lost(caption, cleaned(caption, "deepfloyd")) == ("红色的", "someone", "640x480")
    assert lost("A Red (bird)!", cleaned("A Red (bird)!", "deepfloyd")) == ()


def test_a_missing_library_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(GenstudioError, match="ftfy") as caught:
        cleaned("a bird", "deepfloyd")
    assert "genstudio[text]" in caught.value.hint


def test_cleaning_costs_no_torch() -> None:
    code = "import sys; from genstudio.text.clean import cleaned; cleaned('a', 'deepfloyd'); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)
