"""Reference statistics: what real pictures look like in a feature space, computed once and stored.

Ours is one safetensors file: `mu` and `sigma` (float64, of all pictures) for the Frechet distance, `mu_s` and
`sigma_s` for sFID where the extractor has spatial features, `features` (float16, of up to 10,000 pictures,
evenly spaced) for precision and recall; its metadata says who made it from what. Read as well: the ADM
evaluator's .npz (the same four names, and pictures `arr_0`) and pytorch-fid's (`mu`, `sigma`). Ours know
their extractor by a hash of its weights, so that a mismatch is an error and not a number.
Shapes: N rows, D features, S spatial features.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor

from genstudio.data.folder import Folder, open_folder
from genstudio.data.pictures import Pictures, batches
from genstudio.errors import Exit, GenstudioError
from genstudio.evaluation import npz
from genstudio.evaluation.extractor import Extractor
from genstudio.evaluation.frechet import Gaussian, Moments
from genstudio.evaluation.npz import NpzPictures
from genstudio.files import atomic, digest, home

REFERENCE: Final = "reference.safetensors"
ABOUT: Final = "genstudio.reference"
KEPT = 10_000
BATCH = 500
FEATURES: Final = "features"
GAUSSIANS: Final = ("mu", "sigma"), ("mu_s", "sigma_s")
ADM: Final = {
    "imagenet-256": "VIRTUAL_imagenet256_labeled.npz",
    "imagenet-512": "VIRTUAL_imagenet512.npz",
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReferenceStatistics:
    """The Gaussian of all real pictures, a spatial one for sFID, and features of some pictures.

    `features_ND` None may still mean that the file holds `pictures` to extract them from. `source` is for
    people, e.g. "fashion train"; `count` says how many pictures the Gaussian comes from. Files of other
    programs say neither `count` nor which `extractor` of which weights (`digest`) made them. `sha256` is the
    file's, None before it is saved.
    """

    gaussian: Gaussian
    source: str
    spatial: Gaussian | None = None
    features_ND: Tensor | None = None
    pictures: NpzPictures | None = None
    extractor: str | None = None
    digest: str | None = None
    count: int | None = None
    sha256: str | None = None

    @property
    def has_features(self) -> bool:
        """Whether `features` has something to give."""
        return self.features_ND is not None or self.pictures is not None

    def features(self, extractor: Extractor) -> Tensor:
        """Features of some real pictures, float32 [N,D]; extracted now where the file holds pictures alone.

        Raises GenstudioError where it holds neither.
        """
        if self.features_ND is not None:
            return self.features_ND.float()
        if self.pictures is None:
            raise GenstudioError(
                f"{self.source} holds moments alone, no features of single pictures.",
                "Leave out what compares pictures: precision, recall, density, coverage, kernel distance.",
            )
        return torch.cat([extractor(part).pool_BD for part in self.pictures.batches(BATCH)])

    def check(self, extractor: Extractor) -> None:
        """Raises GenstudioError when another extractor made these statistics, as far as they tell."""
        if self.digest is not None and self.digest != extractor.digest:
            raise GenstudioError(
                f"The statistics of {self.source} were made by another {self.extractor} than the "
                f"{extractor.name} that is loaded.",
                "Score with the extractor that made them, or make them again with this one.",
                Exit.WEIGHTS,
            )
        widths = [(self.gaussian, extractor.features, "")]
        if self.spatial is not None and extractor.spatial_features is not None:
            widths.append((self.spatial, extractor.spatial_features, "spatial "))
        for gaussian, wanted, kind in widths:
            if (found := len(gaussian.mean_D)) != wanted:
                raise GenstudioError(
                    f"{self.source} has {found} {kind}features, {extractor.name} makes {wanted}.",
                    "Give statistics that this extractor made.",
                    Exit.WEIGHTS,
                )


def reference_statistics(extractor: Extractor, pictures: Pictures, *, source: str) -> ReferenceStatistics:
    """Statistics of all `pictures`; `source` is a name for people, e.g. "fashion train"."""
    pool, every = Moments.empty(extractor.features), max(1, len(pictures) // KEPT)
    spatial = Moments.empty(extractor.spatial_features or 0)
    kept: list[Tensor] = []
    for indices in batches(pictures, BATCH):
        found = extractor(pictures.pixels(indices))
        kept.append(found.pool_BD[-pool.count % every :: every].half())
        pool = pool.add(found.pool_BD)
        if found.spatial_BS is not None:
            spatial = spatial.add(found.spatial_BS)
    return ReferenceStatistics(
        gaussian=pool.gaussian,
        spatial=spatial.gaussian if spatial.count else None,
        features_ND=torch.cat(kept)[:KEPT],
        extractor=extractor.name,
        digest=extractor.digest,
        source=source,
        count=pool.count,
    )


def find_reference(name: str, extractor: Extractor) -> ReferenceStatistics:
    """Statistics by the path of their file or by name, for this extractor.

    Names are the source of those that lie beside the extractor ("fashion train"), "imagenet-256" and "-512"
    for the ADM evaluator's files in the cache, and "FOLDER train" or "FOLDER test" for a user's own pictures
    at the size that a classifier looks at, cropped as training crops them. Raises GenstudioError when there
    are none, when they are damaged, and when another extractor made them.
    """
    reference = _found(name, extractor)
    reference.check(extractor)
    return reference


def read_reference(path: Path) -> ReferenceStatistics:
    """Read a file of ours, of the ADM evaluator or of pytorch-fid, in any type of float.

    Raises GenstudioError (exit code 3) when it is missing, damaged or another file, or holds no number.
    """
    read = _read_npz if path.suffix == ".npz" else _read_ours
    reference = read(path)
    for gaussian in (reference.gaussian, reference.spatial):
        if gaussian is not None:
            _check_numbers(path, gaussian)
    return replace(reference, sha256=digest(path))


def save_reference(path: Path, reference: ReferenceStatistics) -> None:
    """Write statistics atomically: an .npz holds moments alone, anything else is a file of ours.

    Raises GenstudioError for a full or closed disk.
    """
    about = {name: getattr(reference, name) for name in ("count", "extractor", "digest", "source")}
    tensors: dict[str, Tensor] = {}
    for (mu, sigma), gaussian in zip(GAUSSIANS, (reference.gaussian, reference.spatial), strict=True):
        if gaussian is not None:
            tensors |= {mu: gaussian.mean_D.double(), sigma: gaussian.covariance_DD.double().contiguous()}
    with atomic(path) as temporary:
        if path.suffix == ".npz":
            arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
            arrays[ABOUT] = np.array(json.dumps(about))
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            return
        if reference.features_ND is not None:
            tensors[FEATURES] = reference.features_ND
        temporary.write_bytes(serialise(tensors, {ABOUT: json.dumps(about)}))


def _found(name: str, extractor: Extractor) -> ReferenceStatistics:
    if Path(name).is_file():
        return read_reference(Path(name))
    if name in ADM:
        return replace(read_reference(_adm(name)), source=name)
    if (pictures := _pictures(name, extractor)) is not None:
        return reference_statistics(extractor, pictures, source=name)
    shipped = extractor.folder / REFERENCE if extractor.folder else None
    if shipped is not None and shipped.is_file():
        reference = read_reference(shipped)
        if reference.source == name:
            return reference
        known = [reference.source, *ADM]
    else:
        known = [*ADM]
    raise GenstudioError(
        f"There are no reference statistics {name!r} for {extractor.name}.",
        f"Give the path of a file, or one of: {', '.join(known)}.",
    )


def _pictures(name: str, extractor: Extractor) -> Folder | None:
    """What "FOLDER train" or "FOLDER test" means to a classifier."""
    folder, _, split = name.rpartition(" ")
    if extractor.pixels is None or not folder or not Path(folder).is_dir():
        return None
    match split:
        case "train" | "test":
            return open_folder(Path(folder), split, extractor.pixels, extractor.channels)
    return None


def _adm(name: str) -> Path:
    path = home() / "references" / ADM[name]
    if not path.is_file():
        raise GenstudioError(
            f"The reference statistics of {name} are not on this machine.",
            f"Copy {ADM[name]}, a reference batch of guided-diffusion (ADM), to {path.parent}, "
            f"or give the path of a file of statistics.",
            Exit.WEIGHTS,
        )
    return path


def _read_ours(path: Path) -> ReferenceStatistics:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[ABOUT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return _from(tensors, about)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read_npz(path: Path) -> ReferenceStatistics:
    try:
        found = npz.arrays(path, {ABOUT, *(name for pair in GAUSSIANS for name in pair)})
        about = json.loads(str(found.pop(ABOUT))) if ABOUT in found else {}
        tensors = {name: torch.from_numpy(array) for name, array in found.items()}
        reference = _from(tensors, {"source": path.name, **about})
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable(path, error) from error
    return replace(reference, pictures=NpzPictures(path) if npz.PICTURES in npz.names(path) else None)


def _from(tensors: dict[str, Tensor], about: dict[str, Any]) -> ReferenceStatistics:
    pool, spatial = (
        Gaussian(tensors[mu].double(), tensors[sigma].double()) if mu in tensors else None
        for mu, sigma in GAUSSIANS
    )
    if pool is None:
        raise KeyError(f"no mu among {', '.join(tensors) or 'its arrays'}")
    features_ND = tensors.get(FEATURES)
    if features_ND is not None and features_ND.shape[1:] != pool.mean_D.shape:
        raise ValueError(
            f"features of shape {list(features_ND.shape)} beside a mean of {list(pool.mean_D.shape)}"
        )
    return ReferenceStatistics(
        gaussian=pool,
        spatial=spatial,
        features_ND=features_ND,
        source=about["source"],
        extractor=about.get("extractor"),
        digest=about.get("digest"),
        count=about.get("count"),
    )


def _check_numbers(path: Path, gaussian: Gaussian) -> None:
    mean_D, covariance_DD = gaussian
    if mean_D.ndim != 1 or covariance_DD.shape != (len(mean_D), len(mean_D)):
        shapes = f"{list(mean_D.shape)} and {list(covariance_DD.shape)}"
        raise _unreadable(path, f"mean and covariance have the shapes {shapes}")
    if not bool(mean_D.isfinite().all()) or not bool(covariance_DD.isfinite().all()):
        raise _unreadable(path, "it holds NaN or infinity")


def _unreadable(path: Path, reason: object) -> GenstudioError:
    return GenstudioError(
        f"{path} holds no reference statistics that can be read ({reason}).",
        "Make them again: genstudio eval-fid --save-stats, or for a classifier python scripts/reference.py.",
        Exit.WEIGHTS,
    )
