"""Replay of the scores: distances, inception scores and the like on recorded features, and what is done to
pictures and clips before a network sees them. No network takes part.

N made rows, M real rows, D features, K classes, B pictures or clips.
"""

from typing import Any

import torch
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from genstudio.evaluation.frechet import Moments, frechet_distance
from genstudio.evaluation.fvd import reduced, styleganv_clips, videogpt_clips, videogpt_distance
from genstudio.evaluation.inception_score import InceptionScore
from genstudio.evaluation.kernel_distance import kernel_distance
from genstudio.evaluation.precision_recall import precision_recall
from genstudio.parity.fixture import Fixture

INCEPTION_SIZE = 299
# Outputs keep every so many pixels.
RESIZED_STEP, CLIP_STEP, SMALL_STEP = 13, 16, 4
SMALL = 64
BATCH = 7  # rows that a streamed score sees at a time; changes no value


@torch.no_grad()
def replay(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of the fixture, each a vector of one number where it is a score."""
    config = fixture.meta["config"]
    made_ND, real_MD = fixture.fed("in.features_gen"), fixture.fed("in.features_real")
    scores = {
        **_distances(made_ND, real_MD),
        **_inception_scores(fixture.fed("in.logits_gen"), config),
        **_neighbours(made_ND, real_MD, config),
    }
    moments = streamed(made_ND)
    made = {
        **{name: torch.tensor([value], dtype=torch.float64) for name, value in scores.items()},
        **_prepared(fixture),
        "mu_gen": moments.mean_D,
        "sigma_gen": moments.covariance_DD,
    }
    return {f"out.{name}": tensor for name, tensor in made.items()}


def streamed(features_ND: Tensor) -> Moments:
    """Moments as an evaluation gathers them, batch by batch."""
    moments = Moments.empty(features_ND.shape[1])
    for part in features_ND.split(BATCH):
        moments = moments.add(part)
    return moments


def _distances(made_ND: Tensor, real_MD: Tensor) -> dict[str, float]:
    """One root serves where the official codes take eigenvalues or the matrix root of a product."""
    distance = frechet_distance(streamed(made_ND).gaussian, streamed(real_MD).gaussian)
    return {
        "fid": distance,
        "fid_sqrtm": distance,
        "fvd_sqrtm": distance,
        "fvd_svd": videogpt_distance(made_ND, real_MD),
    }


def _inception_scores(logits_NK: Tensor, config: dict[str, Any]) -> dict[str, float]:
    total, splits, seed = len(logits_NK), config["isc_splits"], config["rng_seed"]
    scores = {
        "is_shuffled": InceptionScore(total, splits, seed=seed),
        "is_unshuffled": InceptionScore(total, splits, shuffle=False),
        "is_adm": InceptionScore(total, chunk=config["adm_split_size"], shuffle=False),
    }
    for score in scores.values():
        for first in range(0, total, BATCH):
            score.add(first, logits_NK[first : first + BATCH])
    found = {name: score.result() for name, score in scores.items()}
    return {
        **{f"{name}_mean": score.mean for name, score in found.items() if name != "is_adm"},
        **{f"{name}_std": score.deviation for name, score in found.items() if name != "is_adm"},
        "is_adm": found["is_adm"].mean,
    }


def _neighbours(made_ND: Tensor, real_MD: Tensor, config: dict[str, Any]) -> dict[str, float]:
    subsets, size, seed = config["kid_subsets"], config["kid_subset_size"], config["rng_seed"]
    kernel = kernel_distance(made_ND, real_MD, subsets=subsets, size=size, seed=seed)
    manifold = precision_recall(real_MD, made_ND, config["prc_neighborhood"])
    return {
        "kid_mean": kernel.mean,
        "kid_std": kernel.deviation,
        "precision": manifold.precision,
        "recall": manifold.recall,
    }


def _prepared(fixture: Fixture) -> dict[str, Tensor]:
    """Pictures as Inception resizes them, clips as I3D gets them, each thinned out as it was recorded."""
    video_BCTHW = fixture.fed("in.video")
    x_BCHW = interpolate_bilinear_2d_like_tensorflow1x(
        fixture.fed("in.image_u8").float(), size=(INCEPTION_SIZE, INCEPTION_SIZE), align_corners=False
    )
    return {
        "resized_299": _thinned((x_BCHW - 128) / 128, RESIZED_STEP),
        "fvd_preprocessed_sv": _thinned(styleganv_clips(video_BCTHW), CLIP_STEP),
        "fvd_preprocessed_vg": _thinned(videogpt_clips(video_BCTHW), CLIP_STEP),
        "video_64_sv": _thinned(reduced(video_BCTHW, SMALL), SMALL_STEP),
    }


def _thinned(x: Tensor, step: int) -> Tensor:
    return x[..., ::step, ::step]
