"""What a recipe needs before its first step: pictures opened, networks at their initial weights, all checked.

Sizes that two sides must share (pictures and network, generator and tokenizer) are compared here, so that a
recipe that does not fit says so in its own words.
"""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from genstudio import registry
from genstudio.configs.features import Attribute
from genstudio.configs.llamagen import LlamaConfig
from genstudio.data.pictures import Attributed, Pictures, Split
from genstudio.data.sources import open_pictures
from genstudio.errors import GenstudioError
from genstudio.evaluation.classifier import Classifier
from genstudio.files import home
from genstudio.generators.llamagen import LlamaGen
from genstudio.generators.mar import MAR
from genstudio.generators.nar import NAR
from genstudio.generators.var import VAR
from genstudio.processes import Processes
from genstudio.releases import catalogue, weights
from genstudio.releases.release import Distilled
from genstudio.samplers.recipe import Recipe
from genstudio.tokenizers.base import ConvTokenizer, QuantisingTokenizer
from genstudio.tokenizers.kl import KL
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from genstudio.tokenizers.vq import VQ
from genstudio.training.codes import CodeBook, encoded
from genstudio.training.initial import adopt, initialise
from genstudio.training.kept import kept
from genstudio.training.latents import encoded_latents
from genstudio.training.objectives import settings as kinds
from genstudio.training.objectives.adversarial import Critic
from genstudio.training.objectives.base import Objective
from genstudio.training.objectives.classifier import ClassifierObjective
from genstudio.training.objectives.masked import MaskedObjective
from genstudio.training.objectives.next_neighbour import NextNeighbourObjective
from genstudio.training.objectives.next_scale import NextScaleObjective
from genstudio.training.objectives.next_token import NextTokenObjective
from genstudio.training.objectives.posterior import PosteriorObjective
from genstudio.training.objectives.tokenizer import TokenizerObjective
from genstudio.training.positions import balanced
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.rehearsal import Rehearsal

Say = Callable[[str], None]
AnyTokenizer = TypeVar("AnyTokenizer", bound=ConvTokenizer)
CRITIC_SEED = 1  # added to the run's seed, so that the critic does not start from the tokenizer's numbers


class Setup(NamedTuple):
    """What every objective is made from."""

    recipe: TrainingRecipe
    network: nn.Module
    train: Pictures
    test: Pictures
    device: torch.device
    say: Say
    processes: Processes
    rehearsal: Rehearsal | None


class Prepared(NamedTuple):
    """What is trained, on which classes, how many pictures each of them has, how often those are seen beside
    each other, and what it is distilled from."""

    objective: Objective
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    weight_N: Tensor | None = None
    distilled: Distilled | None = None


def prepare(
    recipe: TrainingRecipe,
    device: torch.device,
    say: Say,
    processes: Processes = Processes(),
    rehearsal: Rehearsal | None = None,
) -> Prepared:
    """The objective of a recipe; a `rehearsal` leaves nothing on the disk.

    Raises GenstudioError for missing data or numbers that do not agree.
    """
    check_split(recipe, processes)
    train_set = open_split(recipe, "train")
    test_set = open_split(recipe, "test")
    say(f"{len(train_set)} pictures to train on, {len(test_set)} to test, {len(train_set.classes)} classes")
    check_data(recipe, train_set)
    network = fresh_network(recipe, say).to(device)
    setup = Setup(recipe, network, train_set, test_set, device, say, processes, rehearsal)
    label_N = train_set.labels(range(len(train_set)))
    counts_K = label_N.bincount(minlength=len(train_set.classes))
    weight_N = balanced(label_N, recipe.data.balance)
    objective = _OBJECTIVES[recipe.objective.kind](setup)
    return Prepared(objective, tuple(train_set.classes), tuple(counts_K.tolist()), weight_N)


def _reconstruction(setup: Setup) -> Objective:
    settings = setup.recipe.objective
    if not isinstance(setup.network, QuantisingTokenizer) or not isinstance(settings, kinds.Reconstruction):
        raise _unfit(setup.recipe)
    return TokenizerObjective(setup.network, settings, *_pictures(setup, settings))


def _kl_reconstruction(setup: Setup) -> Objective:
    settings = setup.recipe.objective
    if not isinstance(setup.network, KL) or not isinstance(settings, kinds.KLReconstruction):
        raise _unfit(setup.recipe)
    return PosteriorObjective(setup.network, settings, *_pictures(setup, settings))


def _pictures(
    setup: Setup, settings: kinds.PixelLosses
) -> tuple[Pictures, Pictures, bool, torch.device, Critic | None, Classifier | None]:
    """What objectives of tokenizers are made from, behind the network and the weights of its losses."""
    recipe, device, critic = setup.recipe, setup.device, None
    if settings.adversarial > 0:
        critic = Critic(recipe.data.channels, settings.critic_width)
        initialise(critic, recipe.run.seed + CRITIC_SEED).to(device)
    return setup.train, setup.test, recipe.data.flip, device, critic, _extractor(settings, device)


def _extractor(settings: kinds.PixelLosses, device: torch.device) -> Classifier | None:
    """The classifier whose maps a perceptual loss compares."""
    if settings.perceptual == 0 or settings.extractor is None:
        return None
    network = weights.load(catalogue.find(settings.extractor), device).requires_grad_(False)
    if not isinstance(network, Classifier):
        raise GenstudioError(
            f"{settings.extractor} has no feature maps.", "Set objective.extractor to a classifier."
        )
    return network


def _next_scale(setup: Setup) -> Objective:
    settings = setup.recipe.objective
    if not isinstance(setup.network, VAR) or not isinstance(settings, kinds.NextScale):
        raise _unfit(setup.recipe)
    tokenizer = _tokenizer(setup, MultiScaleVQ, ("vocab", "code_width", "sizes"))
    check_size(setup.recipe, tokenizer.config, "tokenizer")
    return NextScaleObjective(setup.network, tokenizer, *_codes(setup, tokenizer, settings.label_drop))


def _next_token(setup: Setup) -> Objective:
    settings = setup.recipe.objective
    if not isinstance(setup.network, LlamaGen) or not isinstance(settings, kinds.NextToken):
        raise _unfit(setup.recipe)
    tokenizer = _grid_tokenizer(setup, setup.network.config)
    return NextTokenObjective(setup.network, tokenizer, *_codes(setup, tokenizer, settings.label_drop))


def _next_neighbour(setup: Setup) -> Objective:
    settings = setup.recipe.objective
    if not isinstance(setup.network, NAR) or not isinstance(settings, kinds.NextNeighbour):
        raise _unfit(setup.recipe)
    tokenizer = _grid_tokenizer(setup, setup.network.config)
    return NextNeighbourObjective(setup.network, tokenizer, *_codes(setup, tokenizer, settings.label_drop))


def _masked(setup: Setup) -> Objective:
    settings, network = setup.recipe.objective, setup.network
    if not isinstance(network, MAR) or not isinstance(settings, kinds.Masked):
        raise _unfit(setup.recipe)
    tokenizer = _tokenizer(setup, KL, ("code_width",))
    pixels = network.config.side * network.config.patch * tokenizer.config.stride
    check_size(setup.recipe, replace(tokenizer.config, pixels=pixels), "grid")
    folder, flip = home() / "codes", setup.recipe.data.flip
    with setup.processes.first_ahead():
        train = encoded_latents(tokenizer, setup.train, flip, folder, setup.rehearsal)
        test = encoded_latents(tokenizer, setup.test, False, folder, setup.rehearsal)
    return MaskedObjective(network, tokenizer, settings, train, test, setup.device, setup.recipe.sampling)


def _grid_tokenizer(setup: Setup, config: LlamaConfig) -> VQ:
    """The tokenizer whose codes are the cells of a generator's grid."""
    if config.caption is not None:
        raise GenstudioError("This objective learns from classes alone.", "Give network.classes, no caption.")
    tokenizer = _tokenizer(setup, VQ, ("vocab",))
    check_size(setup.recipe, replace(tokenizer.config, pixels=config.side * tokenizer.config.stride), "grid")
    return tokenizer


def _tokenizer(setup: Setup, kind: type[AnyTokenizer], shared: tuple[str, ...]) -> AnyTokenizer:
    """The tokenizer of a recipe, with the same numbers as the generator where the two share them."""
    assert setup.recipe.tokenizer is not None
    release = catalogue.find(setup.recipe.tokenizer.release)
    tokenizer = weights.load(release, setup.device).requires_grad_(False)
    if not isinstance(tokenizer, kind):
        raise GenstudioError(
            f"{release.name} is a {release.method}, which is no tokenizer for a {setup.recipe.network.kind}.",
            "Set tokenizer.release.",
        )
    for name in shared:
        ours, theirs = getattr(setup.recipe.network, name), getattr(tokenizer.config, name)
        if ours != theirs:
            raise GenstudioError(
                f"The generator has {name} {ours}, its tokenizer has {theirs}.",
                f"Set network.{name} to the tokenizer's.",
            )
    setup.say(f"encoding with {release.name}, unless that was done before")
    return tokenizer


def _codes(
    setup: Setup, tokenizer: QuantisingTokenizer, label_drop: float
) -> tuple[float, CodeBook, CodeBook, torch.device, Recipe]:
    """What objectives on codes are made from, behind the networks."""
    folder = home() / "codes"
    with setup.processes.first_ahead():
        train_codes = encoded(tokenizer, setup.train, setup.recipe.data.flip, folder, setup.rehearsal)
        test_codes = encoded(tokenizer, setup.test, False, folder, setup.rehearsal)
    return label_drop, train_codes, test_codes, setup.device, setup.recipe.sampling


def _classification(setup: Setup) -> Objective:
    recipe, settings = setup.recipe, setup.recipe.objective
    if not isinstance(setup.network, Classifier) or not isinstance(settings, kinds.Classification):
        raise _unfit(recipe)
    _check_attributes(recipe, setup.network.config.attributes, setup.train)
    return ClassifierObjective(
        setup.network, settings, setup.train, setup.test, recipe.data.flip, setup.device
    )


_OBJECTIVES: dict[str, Callable[[Setup], Objective]] = {
    "reconstruction": _reconstruction,
    "kl_reconstruction": _kl_reconstruction,
    "masked": _masked,
    "next_scale": _next_scale,
    "next_token": _next_token,
    "next_neighbour": _next_neighbour,
    "classification": _classification,
}


def open_split(recipe: TrainingRecipe, split: Split) -> Pictures:
    data = recipe.data
    return kept(open_pictures(data.source, split, data.pixels, data.channels), data.pixels, data.channels)


def fresh_network(recipe: TrainingRecipe, say: Say) -> nn.Module:
    network = initialise(registry.build(recipe.network, "cpu"), recipe.run.seed)
    if recipe.run.init is None:
        return network
    release = catalogue.find(recipe.run.init)
    if differing := _differing(recipe.network, release.config):
        raise GenstudioError(
            f"{release.name} cannot start this run: {', '.join(differing)} differ.",
            "Give the recipe's [network] the numbers of that model, or leave --init away.",
        )
    fresh = adopt(network, weights.load(release).state_dict())
    say(f"starting from {release.name}" + (f"; fresh: {', '.join(fresh)}" if fresh else ""))
    return network


def _differing(config: Any, other: Any) -> list[str]:
    """Architecture numbers that differ; another count of classes is fine, those rows are learned anew."""
    if config.kind != other.kind:
        return ["kind"]
    names = [one.name for one in fields(config) if one.name != "classes"]
    return [name for name in names if getattr(config, name) != getattr(other, name)]


def check_split(recipe: TrainingRecipe, processes: Processes) -> None:
    run, equal = recipe.run, recipe.run.accumulate * processes.count
    if run.batch % equal:
        raise GenstudioError(
            f"A step of {run.batch} pictures does not split over {processes.count} processes with "
            f"{run.accumulate} passes each.",
            f"Give a --batch that {equal} divides.",
        )


def check_data(recipe: TrainingRecipe, pictures: Pictures) -> None:
    classes = getattr(recipe.network, "classes", 0) or len(pictures.classes)
    if classes != len(pictures.classes):
        raise GenstudioError(
            f"The network has {classes} classes, {recipe.data.source} has {len(pictures.classes)}.",
            f"Try --set network.classes={len(pictures.classes)}.",
        )
    check_size(recipe, recipe.network, "network")


def _check_attributes(recipe: TrainingRecipe, asked: tuple[Attribute, ...], pictures: Pictures) -> None:
    known = pictures.attributes if isinstance(pictures, Attributed) else ()
    if asked and asked != known:
        names = ", ".join(attribute.name for attribute in known) or "none"
        raise GenstudioError(
            f"The network is asked for attributes that {recipe.data.source} does not answer.",
            f"Give network.attributes the names and values of the data ({names}), or leave them away.",
        )


def check_size(recipe: TrainingRecipe, config: Any, what: str) -> None:
    for name in ("pixels", "channels"):
        ours, theirs = getattr(recipe.data, name), getattr(config, name, None)
        if theirs is not None and ours != theirs:
            raise GenstudioError(
                f"The recipe's data has {name} {ours}, its {what} has {theirs}.",
                f"Make data.{name} {theirs}.",
            )


def _unfit(recipe: TrainingRecipe) -> GenstudioError:
    return GenstudioError(
        f"The objective {recipe.objective.kind} does not train a {recipe.network.kind}.",
        "Change the recipe's [objective] kind.",
    )
