"""Where the pictures of a score come from: sampled by a model, read from a folder, or read from an .npz.

All are read by ranges of indices, so that runs can be split, killed and resumed; `identity` is what decides
the pixels, and goes into the manifest of a run. Pictures are scored as they are: nothing is resized here.
Shapes: N pictures of a range, C channels, H x W pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from genstudio.data.folder import SUFFIXES
from genstudio.errors import GenstudioError
from genstudio.evaluation.npz import PICTURES, NpzPictures, names
from genstudio.evaluation.plan import Plan
from genstudio.events import Advance, Picture
from genstudio.files import digest
from genstudio.media.png import DAMAGE
from genstudio.request import Request, Wanted
from genstudio.samplers.accelerators import choose_accelerators
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.studio import Studio

Progress = Callable[[float], None]


class Taken(NamedTuple):
    """Pictures of a range, uint8 [N,C,H,W], the labels asked for and the run specs where a model made them,
    the files that were left out."""

    pixels_NCHW: Tensor
    labels_N: Tensor | None = None
    specs: tuple[dict[str, Any], ...] = ()
    left_out: tuple[str, ...] = ()


class Source(Protocol):
    """Pictures by index."""

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> dict[str, Any]: ...
    @property
    def classes(self) -> tuple[str, ...] | None: ...
    def __len__(self) -> int: ...
    def take(self, at: range, report: Progress) -> Taken:
        """The pictures of a range; `report` hears how many of them are made, in fractions."""
        ...


class Sampled:
    """Pictures that a model makes: picture i has seed `seed` + i, and the i-th of the plan's labels, or its
    i-th prompt, beginning again behind the last."""

    def __init__(self, studio: Studio, plan: Plan) -> None:
        assert plan.recipe is not None and plan.samples is not None
        self.studio, self.name = studio, studio.release.name
        texts = plan.texts(studio.release)
        self.classes = None if texts else studio.classes
        prompts = islice(cycle(texts.prompts), plan.samples) if texts else ()
        subjects: list[int | str] = [*prompts] if texts else [*_labels(plan, studio)]
        wanted = tuple(Wanted.of(subject, plan.seed + i) for i, subject in enumerate(subjects))
        self.request = Request(
            model=plan.source,
            pictures=wanted,
            recipe=plan.recipe,
            batch=plan.batch,
            selection=plan.selection,
            side=plan.side,
            negative=plan.negative,
            features=plan.features,
            accelerators=choose_accelerators(studio.release, plan.accelerators, plan.recipe),
        )
        facts = studio.facts(self.request)
        self.identity: dict[str, Any] = {"kind": "model", **_decisive(facts)}

    def __len__(self) -> int:
        return len(self.request.pictures)

    def take(self, at: range, report: Progress) -> Taken:
        """Sample one batch."""
        pictures: list[Picture] = []
        for event in self.studio.batch(self.request, at):
            if isinstance(event, Advance):
                report(len(at) * event.done / event.total)
            else:
                pictures.append(event)
        facts = self.studio.facts(self.request)
        return Taken(
            pixels_NCHW=torch.stack([picture.pixels_CHW for picture in pictures]),
            labels_N=torch.tensor([picture.wanted.label for picture in pictures]) if self.classes else None,
            specs=tuple(picture.spec(self.request, facts) for picture in pictures),
        )


class Files:
    """The pictures in a folder and below it, by name. Raises GenstudioError when there are none.

    `channels` is what the extractor reads. A file that cannot be read, or has another size than the first, is
    an error that names it; with `skip_bad` unreadable ones are left out.
    """

    classes = None

    def __init__(self, folder: Path, channels: int, skip_bad: bool = False) -> None:
        self.name, self.folder, self._skip_bad = str(folder), folder, skip_bad
        self._mode = "L" if channels == 1 else "RGB"
        found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        self._files = sorted(found, key=lambda path: path.relative_to(folder).as_posix())
        if not self._files:
            raise GenstudioError(
                f"{folder} holds no pictures.", f"Known endings: {' '.join(sorted(SUFFIXES))}."
            )
        self._size = _first_size(self._files, skip_bad)
        self.identity: dict[str, Any] = {"kind": "files", "files": self._fingerprint(), "mode": self._mode}

    def __len__(self) -> int:
        return len(self._files)

    def take(self, at: range, report: Progress) -> Taken:
        """Read the files of a range."""
        pictures, left_out = [], []
        for index in at:
            try:
                pictures.append(self._read(self._files[index]))
            except DAMAGE as error:
                left_out.append(self._refused(self._files[index], error))
        report(len(at))
        width, height = self._size
        empty = torch.empty(0, 1 if self._mode == "L" else 3, height, width, dtype=torch.uint8)
        return Taken(torch.stack(pictures) if pictures else empty, left_out=tuple(left_out))

    @property
    def lossy(self) -> bool:
        """Whether some files lost pixels when they were written, which shifts scores."""
        return any(path.suffix.lower() in (".jpg", ".jpeg") for path in self._files)

    def _read(self, path: Path) -> Tensor:
        with Image.open(path) as raw:
            picture = raw.convert(
                "RGBA" if "A" in raw.getbands() or "transparency" in raw.info else self._mode
            )
        if picture.mode == "RGBA":
            white = Image.new("RGBA", picture.size, "white")
            picture = Image.alpha_composite(white, picture).convert(self._mode)
        if picture.size != self._size:
            first, this = ("x".join(map(str, size)) for size in (self._size, picture.size))
            raise GenstudioError(
                f"Mixed sizes: {path} has {this} pixels, the first picture of the folder {first}.",
                "Score pictures of one size; put grids and other files elsewhere.",
            )
        return pil_to_tensor(picture)

    def _refused(self, path: Path, error: Exception) -> str:
        if not self._skip_bad:
            raise GenstudioError(
                f"{path} is no picture that can be read ({error}).",
                "Replace it, or leave such files out: --skip-bad.",
            ) from error
        return str(path.relative_to(self.folder))

    def _fingerprint(self) -> str:
        """Names, sizes and times of change: reading every file twice would cost as much as scoring them."""
        total = hashlib.sha256()
        for path in self._files:
            stat = path.stat()
            total.update(f"{path.relative_to(self.folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return total.hexdigest()


class Array:
    """The samples in an .npz, `arr_0` uint8 [N,H,W,C] as the ADM evaluator wants them; read in pieces."""

    classes = None

    def __init__(self, path: Path) -> None:
        self.name, self._pictures = str(path), NpzPictures(path)
        self.identity: dict[str, Any] = {"kind": "npz", "sha256": digest(path)}

    @staticmethod
    def looks_like(path: Path) -> bool:
        """Whether a file holds samples, and not statistics beside which pictures only illustrate."""
        if path.suffix != ".npz" or not path.is_file():
            return False
        there = names(path)
        return PICTURES in there and "mu" not in there

    def __len__(self) -> int:
        return len(self._pictures)

    def take(self, at: range, report: Progress) -> Taken:
        """Read the pictures of a range."""
        pixels_NCHW = self._pictures.take(at)
        report(len(at))
        return Taken(pixels_NCHW)


class Held:
    """Pictures in memory, uint8 [N,C,H,W]: a test set, sent through a tokenizer or disturbed."""

    def __init__(self, name: str, pixels_NCHW: Tensor, labels_N: Tensor, classes: tuple[str, ...]) -> None:
        self.name, self.classes = name, classes
        self._pixels_NCHW, self._labels_N = pixels_NCHW, labels_N
        content = hashlib.sha256(pixels_NCHW.contiguous().numpy().tobytes())
        self.identity: dict[str, Any] = {"kind": "held", "sha256": content.hexdigest()}

    def __len__(self) -> int:
        return len(self._pixels_NCHW)

    def take(self, at: range, report: Progress) -> Taken:
        """The pictures of a range."""
        report(len(at))
        return Taken(self._pixels_NCHW[at.start : at.stop], self._labels_N[at.start : at.stop])


def _decisive(facts: dict[str, Any]) -> dict[str, Any]:
    """What a resumed run must have again; which of several equal GPUs it was, and threads, may change."""
    kept = {name: value for name, value in facts.items() if name != "threads"}
    return {**kept, "device": facts["device"].partition(":")[0]}


def _labels(plan: Plan, studio: Studio) -> list[int]:
    """A label for every picture of a plan. Raises GenstudioError where it asks for unknown frequencies."""
    assert plan.samples is not None
    classes = len(studio.classes)
    match plan.labels:
        case "balanced":
            return [i % classes for i in range(plan.samples)]
        case "random":
            seeds_N = torch.arange(plan.samples) + plan.seed
            places = At(seeds_N, torch.zeros(plan.samples, 1, dtype=torch.int64))
            return KeyedDraws().below(Use.LABEL, places, classes).tolist()
        case "training":
            trained = studio.release.trained
            if trained is None or trained.counts is None:
                message = f"{studio.release.name} does not say how often it saw each class."
                raise GenstudioError(message, "Give --labels balanced or random.")
            return in_proportion(trained.counts, plan.samples)


def in_proportion(counts: Sequence[int], length: int) -> list[int]:
    """Labels in the proportions of `counts`: each place goes to the label that is furthest behind, the first
    of several, so that no beginning of the list is off by more than rounding."""
    share_K = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    used_K, labels = torch.zeros_like(share_K), []
    for place in range(1, length + 1):
        label = int((share_K * place - used_K).argmax())
        used_K[label] += 1
        labels.append(label)
    return labels


def _first_size(files: list[Path], skip_bad: bool) -> tuple[int, int]:
    """Of the first file that can be read; without `skip_bad` the first file has to be one."""
    for path in files if skip_bad else islice(files, 1):
        try:
            with Image.open(path) as picture:
                return picture.size
        except DAMAGE:
            continue
    raise GenstudioError(f"{files[0]} is no picture that can be read.", "Replace it, or give --skip-bad.")
