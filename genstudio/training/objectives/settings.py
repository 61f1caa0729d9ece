"""Settings of every training objective, told apart by `kind`: the [objective] of a recipe. No torch here.

What they mean is written where they act, in the modules beside this one and in `distillation`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genstudio.distillation.flow import Solver

Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A table of the recipe: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PixelLosses(Section):
    """Weights of what every tokenizer's losses compare pictures by. `perceptual` compares features of the
    classifier `extractor`.

    `adversarial` adds a patch critic from the share `adversarial_start` of the run on; `adaptive` scales it
    by the ratio of gradients in the decoder's last layer (arXiv 2012.09841, equation 7), in every pass of a
    step anew: there alone several passes are not one large batch.
    """

    l1: Weight = 0.0
    l2: Weight = 1.0
    perceptual: Weight = 0.0
    extractor: str | None = None
    adversarial: Weight = 0.0
    adversarial_start: Share = 0.5
    adaptive: bool = True
    critic_width: Count = 32

    @model_validator(mode="after")
    def _has_extractor(self) -> "PixelLosses":
        if self.perceptual > 0 and self.extractor is None:
            raise ValueError("perceptual needs an extractor, the name or folder of a classifier")
        return self


class Reconstruction(PixelLosses):
    """Losses of a tokenizer of ids. A code that no vector chose for `restart_after` steps takes the place of
    a vector of the batch (0: never)."""

    kind: Literal["reconstruction"] = "reconstruction"
    vq: Weight = 1.0
    restart_after: int = Field(default=50, ge=0)


class KLReconstruction(PixelLosses):
    """Losses of a KL tokenizer. `kl` weighs the divergence of a picture's posterior from the standard normal
    distribution, in nats, divided by the number of its pixels' values, as LDM weighs both (2112.10752)."""

    kind: Literal["kl_reconstruction"] = "kl_reconstruction"
    kl: Weight = 1e-6


class NextScale(Section):
    """Cross-entropy of every code of every scale; labels give way to the null label at rate `label_drop`."""

    kind: Literal["next_scale"] = "next_scale"
    label_drop: Share = 0.1


class NextToken(Section):
    """Cross-entropy of every code under the codes before it; labels give way to the null label at rate
    `label_drop`."""

    kind: Literal["next_token"] = "next_token"
    label_drop: Share = 0.1


class NextNeighbour(Section):
    """Cross-entropy of every code under all codes nearer to the first; labels give way to the null label at
    rate `label_drop`."""

    kind: Literal["next_neighbour"] = "next_neighbour"
    label_drop: Share = 0.1


class Masked(Section):
    """The loss of a diffusion at masked places (MAR, arXiv 2406.11838); labels give way to the null label at
    rate `label_drop`.

    A step masks the same share of all pictures, drawn from a normal distribution around 1 with standard
    deviation `deviation`, cut off at `least` and 1. Every masked token is noised `noises` times.
    """

    kind: Literal["masked"] = "masked"
    label_drop: Share = 0.1
    least: Annotated[float, Field(ge=0, lt=1)] = 0.7
    deviation: Annotated[float, Field(gt=0)] = 0.25
    noises: Count = 4


class NextFeature(Section):
    """A drafter's loss (EAGLE; LANTERN, arXiv 2410.03355): smooth L1 between its features and the teacher's,
    and `cross_entropy` times that of its codes under the teacher's law.

    Features that it reads have uniform noise of standard deviation `noise`; labels give way to the null label
    at rate `label_drop`, since guided drafting reads both.
    """

    kind: Literal["next_feature"] = "next_feature"
    cross_entropy: Weight = 0.1
    noise: Weight = 0.2
    label_drop: Share = 0.25


class OneStep(Section):
    """A student's losses (Distilled Decoding, arXiv 2412.17153): cross-entropy of codes, and `distance` times
    the squared distance of code vectors, in variances of the codebook.

    Noise stands from one of the `timesteps` on, as `FewSteps` counts them; `solver` is how the teacher's
    pairs of noise and codes are made.
    """

    kind: Literal["one_step"] = "one_step"
    timesteps: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0,), min_length=1)
    distance: Weight = 1.0
    solver: Solver = Solver()


class Classification(Section):
    """Cross-entropy of labels; pictures are shifted by up to `shift` pixels along both sides."""

    kind: Literal["classification"] = "classification"
    shift: int = Field(default=0, ge=0)
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


OfPictures = Reconstruction | KLReconstruction
OfCodes = NextScale | NextToken | NextNeighbour | Masked
OfTeacher = NextFeature | OneStep
Objective = Annotated[OfPictures | OfCodes | OfTeacher | Classification, Field(discriminator="kind")]
