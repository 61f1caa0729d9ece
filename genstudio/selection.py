"""Best of several candidates, by a classifier: rejection sampling, VAR's "-re" rows (arXiv 2404.02905).

The official code of those rows is not released; others keep a share of one large pool (VQGAN, arXiv
2012.09841, "acceptance rate"). Here every picture has candidates of its own, so that it depends on its
class, its seed and the recipe alone, and on no neighbour: an acceptance rate of 1/N is the best of N. A value
without torch: refusals come before weights are loaded.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from genstudio.configs.features import ClassifierConfig
from genstudio.data.labels import names_of
from genstudio.errors import GenstudioError
from genstudio.releases import catalogue
from genstudio.releases.release import Release

if TYPE_CHECKING:
    from genstudio.request import Wanted

STRIDE: Final = 2**40  # between the seeds of a picture's candidates: more than any run has pictures
HINT: Final = "Name one by --judge: a classifier of the same classes, by name or folder."


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Each picture is the one of `best_of` candidates that `judge` finds most likely to be of its class.

    With `accept` the first candidate of at least that probability is taken, and the best one where none
    reaches it: fewer candidates for the same share of right classes, at the price of less likely pictures.
    """

    best_of: int
    judge: str
    accept: float | None = None

    def describe(self) -> str:
        """For people: "best of 4 (fashion-features)"."""
        how = "best" if self.accept is None else f"first above {self.accept:g}"
        return f"{how} of {self.best_of} ({self.judge})"

    def check(self, pictures: "Iterable[Wanted]") -> None:
        """Raises GenstudioError where two pictures would share candidates, a seed would pass 64 bits, or a
        picture has no class."""
        different = set(pictures)
        if any(one.label is None for one in different):
            raise GenstudioError(
                "A picture of no class cannot be judged.", "Give -c, or leave --best-of away."
            )
        if len({(one.label, one.seed % STRIDE) for one in different}) < len(different):
            raise GenstudioError(
                "Two pictures of one class would share candidates.",
                "Give seeds less than 2^40 apart.",
            )
        if any(one.seed + STRIDE * (self.best_of - 1) >= 2**63 for one in different):
            raise GenstudioError(
                f"The seeds of {self.best_of} candidates do not fit into 64 bits.", "Give smaller seeds."
            )


class Choice(NamedTuple):
    """How a picture was chosen: the rule, the hash of the judge's weights, the candidate's number, and the
    probability of its class."""

    selection: Selection
    digest: str
    attempt: int
    probability: float

    def facts(self) -> dict[str, Any]:
        """For a picture's metadata."""
        found = {"judge_weights": self.digest, "attempt": self.attempt, "probability": self.probability}
        return {**asdict(self.selection), **found}


def candidate(wanted: "Wanted", attempt: int) -> "Wanted":
    """Candidate number `attempt` of a picture: the picture itself, then the same class with seeds STRIDE
    apart. Each of them is a plain picture that its own seed makes again."""
    return wanted._replace(seed=wanted.seed + attempt * STRIDE)


def choose_selection(
    release: Release, best_of: int = 1, accept: float | None = None, judge: str | None = None
) -> Selection | None:
    """What `--best-of`, `--accept` and `--judge` mean for a generator; None where nothing is chosen.

    The judge is the extractor of the release's protocol unless another is named.
    Raises GenstudioError for values out of range, and for a judge that does not know exactly the generator's
    classes.
    """
    if best_of < 1:
        raise GenstudioError(f"--best-of {best_of} leaves no candidate.", "Give 1 (off) or more.")
    if best_of == 1:
        if accept is not None or judge is not None:
            raise GenstudioError("There is one candidate, so nothing is chosen.", "Give --best-of 2 or more.")
        return None
    if accept is not None and not 0 < accept < 1:
        raise GenstudioError(f"--accept {accept:g} is out of range.", "Give a probability between 0 and 1.")
    name = judge or _usual(release)
    _refuse(release, name)
    return Selection(best_of=best_of, judge=name, accept=accept)


def _usual(release: Release) -> str:
    name = release.protocol.extractor if release.protocol else None
    if name is None or name not in catalogue.names():
        raise GenstudioError(f"No classifier is known that judges pictures of {release.name}.", HINT)
    return name


def _refuse(release: Release, name: str) -> None:
    """By reading configs alone: whether the judge can say how likely a picture shows its class."""
    judge = catalogue.find(name)
    if not isinstance(judge.config, ClassifierConfig):
        raise GenstudioError(f"{judge.name} is no classifier, so it cannot judge pictures.", HINT)
    classes = getattr(release.config, "classes", 0)
    if names_of(judge.classes, judge.config.classes) != names_of(release.classes, classes):
        raise GenstudioError(f"{judge.name} knows other classes than {release.name}.", HINT)
