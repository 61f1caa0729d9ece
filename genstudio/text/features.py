"""Features of prompts in a file, so that an encoder of gigabytes is asked once: a safetensors file.

One tensor per prompt, without padding, named by its number; the prompts, the encoder with the hash of its
weights, and the cleaning stand in the metadata. What a model cannot read is refused by the head of the file
alone, without torch. Shapes: T tokens of a prompt (the end mark is one of them), E width.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from genstudio.errors import GenstudioError
from genstudio.files import atomic
from genstudio.releases.header import Header, damaged, read_header
from genstudio.releases.release import Cleaning, Release
from genstudio.text.clean import VERSION as CLEANING_VERSION

if TYPE_CHECKING:
    from torch import Tensor

Dtype = Literal["float32", "bfloat16"]

KEY: Final = "features"
ANEW: Final = "Make them for it: genstudio features PROMPTS_FILE -o FILE."


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How features are made: the encoder by name, the hash of its weights, its number type, and the rules
    by which prompts are cleaned before."""

    encoder: str
    sha256: str
    dtype: Dtype
    cleaning: Cleaning
    cleaning_version: int = CLEANING_VERSION


class Stored(NamedTuple):
    """Where the features [T,E] of a prompt are in a file, and their shape."""

    name: str
    tokens: int
    width: int


@dataclass(frozen=True, slots=True)
class FeatureFile:
    """An opened features file: how its features are made, and what is `stored`, by prompt in its order."""

    path: Path
    making: Making
    stored: Mapping[str, Stored]

    @classmethod
    def read(cls, path: Path) -> "FeatureFile":
        """Raises GenstudioError for a missing or damaged file (exit code 3), and for one without features."""
        header = read_header(path)
        about = header.studio.get(KEY)
        if about is None:
            raise GenstudioError(f"{path} holds no text features.", ANEW)
        try:
            making = TypeAdapter(Making).validate_python(about["making"])
            prompts = TypeAdapter(tuple[str, ...]).validate_python(about["prompts"])
        except (KeyError, TypeError, ValidationError) as error:
            raise damaged(path, "it does not say how its features are made") from error
        return cls(path, making, _stored(path, header, prompts))

    def check(self, release: Release) -> None:
        """Raises GenstudioError where a release cannot read these features, or was trained on others."""
        caption, part, making = release.caption, release.text, self.making
        assert caption is not None
        if part is not None and _last(making.encoder) != _last(part.encoder):
            raise self._unfit(f"are of {making.encoder}; {release.name} reads {part.encoder}")
        if part is not None and part.sha256 not in (None, making.sha256):
            raise self._unfit(f"are of a {making.encoder} with other weights than {release.name} reads")
        if part is not None and making.cleaning != part.cleaning:
            raise self._unfit(f"are of prompts cleaned by {making.cleaning!r}, not {part.cleaning!r}")
        if making.cleaning != "none" and making.cleaning_version != CLEANING_VERSION:
            raise self._unfit("are of prompts cleaned by another version of genstudio")
        for prompt, (_, tokens, width) in self.stored.items():
            if width != caption.width:
                raise self._unfit(f"are {width} wide; {release.name} reads {caption.width}")
            if tokens > caption.slots:
                raise self._unfit(
                    f"have {tokens} tokens for {prompt!r}; {release.name} reads {caption.slots}"
                )

    def rows(self, prompt: str) -> "Tensor":
        """Features [T,E] of a prompt that is there."""
        from safetensors import safe_open

        with safe_open(self.path, "pt") as file:
            found: Tensor = file.get_tensor(self.stored[prompt].name)
        return found

    def _unfit(self, how: str) -> GenstudioError:
        return GenstudioError(f"The features in {self.path} {how}.", ANEW)


def write_features(path: Path, making: Making, rows: Mapping[str, "Tensor"]) -> None:
    """Write features [T,E] by prompt, atomically, one after the other: those that lie in a file take the
    memory of one. Raises GenstudioError for a full or closed disk."""
    from genstudio.releases.storage import Packed
    from genstudio.releases.stream import save_file

    about = {KEY: {"making": asdict(making), "prompts": list(rows)}, "version": version("genstudio")}
    with atomic(path) as temporary:
        save_file(Packed(_Numbered(rows), making.dtype), temporary, {"genstudio": json.dumps(about)})


class _Numbered(Mapping[str, "Tensor"]):
    """Tensors of prompts under their numbers."""

    def __init__(self, rows: Mapping[str, "Tensor"]) -> None:
        self.rows, self.prompts = rows, {_name(number): prompt for number, prompt in enumerate(rows)}

    def __getitem__(self, name: str) -> "Tensor":
        return self.rows[self.prompts[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.prompts)

    def __len__(self) -> int:
        return len(self.prompts)


def _stored(path: Path, header: Header, prompts: tuple[str, ...]) -> dict[str, Stored]:
    names = [_name(number) for number in range(len(prompts))]
    if set(names) != set(header.tensors) or len(set(prompts)) != len(prompts):
        raise damaged(path, "it does not hold one tensor per prompt")
    shapes = [header.tensors[name].shape for name in names]
    if any(len(shape) != 2 or shape[0] < 1 for shape in shapes):
        raise damaged(path, "its tensors are no features of tokens")
    return {prompt: Stored(name, *shape) for prompt, name, shape in zip(prompts, names, shapes, strict=True)}


def _name(number: int) -> str:
    return f"{number:08d}"


def _last(encoder: str) -> str:
    """A hub's name and a folder of that name mean the same encoder."""
    return Path(encoder).name.casefold()
