"""The walk of one picture: a request becomes codes, codes become pixels, pixels become uint8 pictures.

`Studio` holds a generator with its tokenizer; `stream` drives the walk and tells what happens, `sample` just
returns pictures. Commands and scores all go through `stream`.
Shapes: B pictures, C channels, H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import torch
from genstudio_kernels.select import Kernels, chosen
from torch import Tensor, nn

from genstudio.cache.makers import full_caches
from genstudio.data.labels import name_of, names_of, parse_classes
from genstudio.edit import Edit, choose_edit
from genstudio.editing import Canvas, open_canvas
from genstudio.errors import Exit, GenstudioError
from genstudio.events import Advance, Event, Picture, Place
from genstudio.files import digest
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.judging import Judge, winners
from genstudio.media.pixels import to_uint8, veiled
from genstudio.nn.linear import pack, unpack
from genstudio.nn.twins import use_kernels
from genstudio.releases import catalogue, weights
from genstudio.releases.pairing import tokenizer_of
from genstudio.releases.release import Release
from genstudio.request import Request, Wanted, choose_pictures
from genstudio.runtime import Runtime
from genstudio.samplers.accelerators import choose_accelerators
from genstudio.samplers.draws import VERSION as DRAWS_VERSION
from genstudio.samplers.draws import KeyedDraws
from genstudio.samplers.plan import Plan
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.speculate.account import Account, Book
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, Step, run, timed
from genstudio.selection import choose_selection
from genstudio.text.prompts import choose_prompts
from genstudio.text.reader import Reader
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.tokenizers.protocol import Sampling

UNREAD: Final = "a text"  # stands for any


class Companion(NamedTuple):
    """The network of a further release that accelerators need, with the hash of its weights."""

    network: nn.Module
    release: Release
    digest: str


@dataclass
class Studio:
    """A generator, its tokenizer and the machine.

    The networks are taken over and made ready for it: the twins that run, the number type of the decoder, the
    layout of weights.
    """

    release: Release
    generator: Generator
    tokenizer: ConvTokenizer
    runtime: Runtime
    digests: dict[str, str] = field(default_factory=dict)
    draws: KeyedDraws = KeyedDraws()
    judges: dict[str, Judge] = field(default_factory=dict)
    canvases: dict[Edit, Canvas] = field(default_factory=dict)
    companions: dict[str, Companion] = field(default_factory=dict)
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = Reader(self.release, self.runtime)
        self._ready(self.generator)
        use_kernels(self.tokenizer, self.kernels)
        self.tokenizer.decoder.to(getattr(torch, self.runtime.decoder_dtype))

    @classmethod
    def load(
        cls,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        kernels: Kernels | None = None,
    ) -> "Studio":
        """Find a release by name or folder and fill its networks; `kernels` forces a twin.

        Raises GenstudioError for an unknown name, missing or unfit weights, a device that is not there.
        """
        runtime = Runtime.choose(device, dtype)
        draws = _draws(runtime, kernels)
        release = catalogue.find(model) if model else catalogue.default()
        other = tokenizer_of(release)
        generator = weights.load(release, runtime.torch_device, runtime.torch_dtype)
        tokenizer = weights.load(other, runtime.torch_device)
        digests = {part.name: digest(weights.resolve(part)) for part in (release, other)}
        return cls(
            release, cast(Generator, generator), cast(ConvTokenizer, tokenizer), runtime, digests, draws
        )

    @property
    def kernels(self) -> Kernels:
        """The twin that runs in its networks."""
        return chosen(self.runtime.torch_device.type, self.draws.kernels)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return names_of(self.release.classes, self.generator.config.classes)

    def sample(
        self,
        classes: str | int | list[int] | None = None,
        n: int | None = None,
        seed: int | str = 0,
        *,
        prompts: str | Sequence[str] = (),
        negative: str | None = None,
        features: Path | str | None = None,
        accel: str | Sequence[str] = (),
        batch: int = 16,
        best_of: int = 1,
        accept: float | None = None,
        judge: str | None = None,
        image: Path | str | None = None,
        mask: Path | str | None = None,
        outside: bool = False,
        paste: bool = False,
        **recipe: Any,
    ) -> list[Picture]:
        """Pictures of classes or prompts; see `genstudio sample --help` for what the arguments mean.

        `accel` are accelerators as `--accel` takes them. `recipe` overrides single fields of the release's
        recipe: cfg, top_k, top_p, temperature, smooth, steps, head_steps.
        """
        edit = choose_edit(self.release, image, mask, outside, paste)
        asked = [prompts] if isinstance(prompts, str) else prompts
        texts = choose_prompts(self.release, asked, None, features, negative, classes)
        labels = self.labels(classes) if classes is not None else (None,) if edit else None
        wanted = choose_pictures(texts.prompts if texts else labels, n, str(seed), len(self.classes))
        by = self.release.override(**recipe)
        request = Request(
            model=self.release.name,
            pictures=wanted,
            recipe=by,
            batch=batch,
            selection=choose_selection(self.release, best_of, accept, judge),
            edit=edit,
            negative=texts.negative if texts else None,
            features=texts.features if texts else None,
            accelerators=choose_accelerators(self.release, [accel] if isinstance(accel, str) else accel, by),
        )
        return [event for event in self.stream(request) if isinstance(event, Picture)]

    def any_pictures(self, count: int) -> tuple[Wanted, ...]:
        """Pictures to be measured by: of all classes, or of a text of full length that no encoder reads."""
        if self.release.caption is None:
            return choose_pictures(None, count, "0", len(self.classes))
        self.reader.learn(UNREAD)
        return choose_pictures((UNREAD,), count, "0", 0)

    def compile(self) -> None:
        """Compile what sees nothing of the cache, and on a GPU the decoder (on a CPU torch's own group norm
        is faster than a compiled one). Pictures stay the same up to rounding; only time changes."""
        for part in self.generator.lengthless():
            unpack(part)
            part.compile(dynamic=True)
        if self.runtime.torch_device.type == "cuda":
            self.tokenizer.decoder.compile(dynamic=True)

    def labels(self, classes: str | int | list[int]) -> tuple[int | None, ...]:
        """Class ids from names, ids or ranges."""
        text = classes if isinstance(classes, str) else ",".join(map(str, _listed(classes)))
        return parse_classes(text, self.classes)

    def stream(self, request: Request) -> Iterator[Event]:
        """Sample batch by batch; an `Advance` per unit, a `Picture` as soon as its batch is decoded."""
        for positions in request.batches():
            if any(map(request.kept, positions)):
                yield from self.batch(request, positions)

    def facts(self, request: Request) -> dict[str, Any]:
        """What else belongs into the metadata of a request's pictures: weights, those of drafts and teachers
        that take a part included, device, precision, versions."""
        names = [name for one in request.accelerators for name in one.companions]
        used = map(self._companion, names + ([self._teacher] if _taught(request.recipe) else []))
        weights = self.digests | self.reader.digests | {one.release.name: one.digest for one in used}
        return {"weights": weights, "draws": DRAWS_VERSION, **self.runtime.facts()}

    def batch(self, request: Request, positions: range) -> Iterator[Event]:
        """Sample the pictures at these positions together, whatever the request says of batches."""
        if request.selection is None:
            return self._batch(request, positions)
        return winners(self._batch, request, positions, self._judge(request.selection.judge))

    @torch.inference_mode()
    def _batch(self, request: Request, positions: range) -> Iterator[Event]:
        plan = self.plan(request)
        book = Book() if request.accelerators else None
        job = self.job(request, positions, plan)._replace(trace=book)
        for number, (step, seconds) in enumerate(timed(run(plan.walk, job))):
            if isinstance(step, Done):
                pixels_BCHW = self._shown(step.codes, Sampling(job.draws, job.seed_B), request)
                yield from self._pictures(pixels_BCHW, request, positions, book.accounts() if book else [])
            else:
                preview = partial(self._preview, step, job, request)
                yield Advance(positions, number, step.done, step.total, preview, step.stats, seconds)

    def plan(self, request: Request) -> Plan:
        """How a request is sampled. Companions are loaded when they are needed first.

        Raises GenstudioError where their weights are missing or unfit.
        """

        def companion(name: str) -> nn.Module:
            return self._companion(name).network

        teacher = cast(Generator, companion(self._teacher)) if _taught(request.recipe) else None
        plain = Plan(
            generator=self.generator,
            tokenizer=self.tokenizer,
            recipe=request.recipe,
            cache=full_caches(self.generator),
            walk=walk_of(self.generator, self.tokenizer, teacher),
            companion=companion,
        )
        return plain.accelerated(request.accelerators)

    def job(self, request: Request, positions: range, plan: Plan) -> Job:
        """What a batch has to make."""
        seeds = [request.pictures[position].seed for position in positions]
        seed_B = torch.tensor(seeds, device=self.runtime.torch_device)
        return Job(self._given(request, positions), seed_B, plan.recipe, self.draws, plan.cache)

    @torch.inference_mode()
    def decode(self, codes: Codes, sampling: Sampling, side: int | None = None) -> Tensor:
        """uint8 pixels [B,C,H,W] by the release's rule, resized to `side` if one is given; cells of latents
        that are not known yet are grey. Raises GenstudioError for latents or pixels that are no numbers: as
        black pictures they would be sampled, and even scored, without a word."""
        latents = self.tokenizer.latents(codes)
        self._check_finite(latents, "samples latents of")
        x_BCHW = self.tokenizer.decode(latents, sampling)
        self._check_finite(x_BCHW, "decodes to")
        return to_uint8(self._veiled(x_BCHW, codes), self.release.pixels, side).cpu()

    def _check_finite(self, values: Tensor, doing: str) -> None:
        if not bool(values.isfinite().all()):
            raise GenstudioError(
                f"{self.release.name} {doing} NaN or infinity.",
                "Check its weights: genstudio models verify; or try --dtype fp32.",
                Exit.CHECK,
            )

    def _veiled(self, x_BCHW: Tensor, codes: Codes) -> Tensor:
        if codes.kind != "latents" or codes.known_BL is None:
            return x_BCHW
        known_Bhw = codes.known_BL.view(len(x_BCHW), *codes.data[0].shape[2:])
        return veiled(x_BCHW, known_Bhw, self.release.pixels)

    def _preview(self, step: Step, job: Job, request: Request) -> Tensor:
        return self._shown(step.preview(), Sampling(job.draws, job.seed_B, step.done), request)

    def _shown(self, codes: Codes, sampling: Sampling, request: Request) -> Tensor:
        pixels_BCHW, edit = self.decode(codes, sampling, request.side), request.edit
        return self._canvas(edit).paste(pixels_BCHW) if edit and edit.paste else pixels_BCHW

    def _given(self, request: Request, positions: range) -> Given:
        if self.release.caption is not None:
            return self.reader.given(request, positions)
        null, labels = self.generator.config.classes, [request.pictures[at].label for at in positions]
        label_B = torch.tensor(
            [null if label is None else label for label in labels], device=self.runtime.torch_device
        )
        prefix = self._canvas(request.edit).prefix(len(labels)) if request.edit else None
        return Given(label_B=label_B, prefix=prefix)

    def _pictures(
        self, pixels_BCHW: Tensor, request: Request, positions: range, accounts: Sequence[Account]
    ) -> Iterator[Picture]:
        for row, (pixels_CHW, position) in enumerate(zip(pixels_BCHW, positions, strict=True)):
            if request.kept(position):
                wanted = request.pictures[position]
                place = Place(len(positions), row)
                name = wanted.prompt or name_of(wanted.label, self.classes)
                account = accounts[row] if accounts else None
                yield Picture(pixels_CHW, wanted, name, position, place, account=account)

    def _canvas(self, edit: Edit) -> Canvas:
        """Encoded once, however many batches it is kept in."""
        if edit not in self.canvases:
            self.canvases[edit] = open_canvas(edit, self.tokenizer, self.release.pixels)
        return self.canvases[edit]

    @property
    def _teacher(self) -> str:
        """The name of a student's teacher. Raises GenstudioError for a student that names none."""
        if self.release.distilled is None:
            raise GenstudioError(
                f"{self.release.name} names no teacher that could take a part in its steps.",
                "Give --steps 1 or 2.",
            )
        return self.release.distilled.teacher

    def _companion(self, name: str) -> Companion:
        """Loaded once, however many batches it helps with."""
        if name not in self.companions:
            release = catalogue.find(name)
            network = weights.load(release, self.runtime.torch_device, self.runtime.torch_dtype)
            self._ready(network)
            self.companions[name] = Companion(network, release, digest(weights.resolve(release)))
        return self.companions[name]

    def _ready(self, network: nn.Module) -> None:
        use_kernels(network, self.kernels)
        pack(network)

    def _judge(self, name: str) -> Judge:
        """Opened once, however many batches it judges; its library costs a second that few runs need."""
        from genstudio.evaluation.extractor import open_extractor

        if name not in self.judges:
            self.judges[name] = Judge(open_extractor(name, device=self.runtime.torch_device))
        return self.judges[name]


def _draws(runtime: Runtime, kernels: Kernels | None) -> KeyedDraws:
    try:
        return KeyedDraws(chosen(runtime.torch_device.type, kernels))
    except ValueError as error:
        raise GenstudioError(str(error), "Leave --kernels away, or give --kernels torch.") from error


def _taught(recipe: Recipe) -> bool:
    """Whether a student's teacher takes a part in the steps."""
    return recipe.few is not None and recipe.few.start is not None


def _listed(classes: int | list[int]) -> list[int]:
    return [classes] if isinstance(classes, int) else list(classes)
