"""Replays of the Distilled Decoding fixtures: students of VAR and LlamaGen, alone and around their teachers.

Everything goes through the studio's own networks, tables and walks; the numbers of the configuration come
from the fixture, so that any width, depth, grid, class count and list of timesteps replays.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.cache.makers import full_caches
from genstudio.configs.students import LlamaGenStudentConfig, StudentConfig, VARStudentConfig
from genstudio.configs.var import VARConfig
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.generators.students import LlamaGenStudent, VARStudent
from genstudio.generators.var import VAR
from genstudio.parity import llamagen, llamagen_vq, var
from genstudio.parity.fixture import Fixture
from genstudio.parity.networks import from_tensors
from genstudio.samplers.draws import Use
from genstudio.samplers.few_steps import FewSteps
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.oneshot import nearest, snapped
from genstudio.samplers.recipe import Filter, Recipe, Temperature, TopK, TopP
from genstudio.samplers.recorded import Queue, RecordedDraws, Table
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Job, run
from genstudio.tokenizers.base import QuantisingTokenizer


class Setting(NamedTuple):
    """The networks of a fixture, and how the teacher makes its part."""

    student: VARStudent | LlamaGenStudent
    teacher: Generator
    tokenizer: QuantisingTokenizer
    law: Recipe


class Run(NamedTuple):
    """What one run said: code vectors after every pass of the student, and those of the teacher's part."""

    student: list[Tensor]
    teacher: list[Tensor]


@torch.no_grad()
def replay_var(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of a student of VAR."""
    config = fixture.meta["config"]
    tokenizer = var.tokenizer_from(config["VQVAE"], _weights(fixture, "vae"))
    setting = Setting(
        _student(_student_of_var(config), fixture.weights()),
        _teacher_of_var(config, _weights(fixture, "teacher")),
        tokenizer,
        Recipe(guidance=Guidance(cfg=config["run"]["cfg"], ramp=Plus()), filters=_filters(config["run"])),
    )
    block0: list[Tensor] = []
    hook = setting.student.blocks[0].register_forward_hook(lambda *call: block0.append(call[-1]))
    made = _passes(fixture, setting)
    hook.remove()
    few = _few(config["run"], config["run"]["split_t"], config["run"]["comb_split_t"])
    runs = _runs(fixture, setting, few, config["run"]["teacher_start"])
    behind = runs["teacher"]
    return {
        "fwd_block0": block0[0],
        **made,
        **_pictures(setting, runs, lambda x_BCHW: (x_BCHW.clamp(-1, 1) + 1) / 2),
        "teacher_prefix_x": snapped(tokenizer.quantize, behind.student[0]),
        "teacher_seq": behind.teacher[-1],
        "teacher0_seq": runs["teacher0"].teacher[-1],
    }


@torch.no_grad()
def replay_llamagen(fixture: Fixture) -> dict[str, Tensor]:
    """All outputs of a student of LlamaGen; teacher and tokenizer are folders of their own."""
    config = fixture.meta["config"]
    setting = Setting(
        _student(_student_of_llamagen(config["ModelArgs"]), fixture.weights()),
        llamagen.filled(fixture.sibling("LlamaGen GPT")),
        llamagen_vq.filled(fixture.sibling("LlamaGen VQ tokenizer")),
        Recipe(guidance=Guidance(cfg=config["run"]["cfg_scale"]), filters=_filters(config["run"])),
    )
    few = _few(config["run"], config["run"]["split_t"], config["run"]["split_t"])
    start, table = config["run"]["teacher_start_t"], setting.tokenizer.quantize
    runs = _runs(fixture, setting, few, start)
    behind = runs["teacher"]
    return {
        **_passes(fixture, setting),
        **_pictures(setting, runs, lambda x_BCHW: (x_BCHW + 1) / 2),
        "prefix_idx": nearest(table, behind.student[0][:, :start]),
        "teacher_tokens": nearest(table, behind.teacher[-1]),
        "teacher_tokens_from0": nearest(table, runs["teacher0"].teacher[-1]),
    }


def _passes(fixture: Fixture, setting: Setting) -> dict[str, Tensor]:
    """One pass on data, with a timestep for every row, and what a step would make of it."""
    student, table = setting.student, setting.tokenizer.quantize
    t_B, data_BLd = fixture.fed("timesteps"), fixture.fed("data")
    unit_L = torch.cat(
        [torch.full((len(unit.made),), number) for number, unit in enumerate(student.order.units())]
    )
    known_BL = unit_L < t_B[:, None]
    x_BLd = torch.where(known_BL[..., None], data_BLd, fixture.fed("noise"))
    cond = student.condition(Given(fixture.fed("class_ids")), null=False)
    h_BLC = student(x_BLd, t_B, cond)
    logits_BLV, tokens_BLd = student.logits(h_BLC, cond), student.vectors(h_BLC, cond)
    ids_BL = torch.where(known_BL, nearest(table, x_BLd), logits_BLV.argmax(-1))
    vectors_BLd = torch.where(known_BL[..., None], x_BLd, tokens_BLd)
    split_L = unit_L < fixture.meta["config"]["run"]["split_t"]
    return {
        "fwd_logits": logits_BLV,
        "fwd_tokens": tokens_BLd,
        "x_t": x_BLd,
        "x_t_nearest": nearest(table, x_BLd),
        "final_logits_argmax": ids_BL,
        "final_tokens": vectors_BLd,
        "final_x": torch.where(split_L[:, None], table.lookup(ids_BL), vectors_BLd),
    }


def _runs(fixture: Fixture, setting: Setting, few: FewSteps, start: int) -> dict[str, Run]:
    """The student alone in one and two steps, and around its teacher: from `start` and from the beginning,
    whose uniforms follow each other in the recording."""
    uniforms = fixture.fed("teacher_uniforms").flatten()
    used = fixture.meta["config"]["run"]["teacher_uniforms_used_by_prefix_run"]
    none, taught = uniforms[:0], _taught(setting, few, fixture)
    return {
        "onestep": _run(fixture, setting, few.taking(1), none),
        "twostep": _run(fixture, setting, few.taking(2), none),
        "teacher": _run(fixture, setting, few.behind(start), uniforms[:used]),
        "teacher0": _run(fixture, setting, few.behind(0), uniforms[used : used + taught]),
    }


def _run(fixture: Fixture, setting: Setting, few: FewSteps, uniforms: Tensor) -> Run:
    """One run of the walk, on recorded noise and uniforms."""
    label_B = fixture.fed("class_ids")
    draws = RecordedDraws({Use.START: Table(fixture.fed("noise")), Use.TOKEN: Queue(uniforms)})
    said = Run([], [])
    job = Job(
        Given(label_B),
        torch.arange(len(label_B)),
        replace(setting.law, few=few),
        draws,
        full_caches(setting.student),
        trace=lambda name, value: getattr(said, name).append(value) if name in Run._fields else None,
    )
    list(run(walk_of(setting.student, setting.tokenizer, setting.teacher), job))
    draws.finish()
    return said


def _taught(setting: Setting, few: FewSteps, fixture: Fixture) -> int:
    """Codes that the teacher makes of all pictures from the beginning."""
    return setting.student.order.units()[few.turn].made.start * len(fixture.fed("class_ids"))


def _pictures(setting: Setting, runs: dict[str, Run], shown: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Where every run ends, and its picture."""
    ends = {name: one.student[-1] for name, one in runs.items()}
    latents = {name: setting.tokenizer.latents_of(x_BLd) for name, x_BLd in ends.items()}
    return {
        **{f"{name}_x": x_BLd for name, x_BLd in ends.items()},
        **{f"{name}_image": shown(setting.tokenizer.decode(f_BChw)) for name, f_BChw in latents.items()},
    }


def _few(numbers: dict[str, Any], split: int, taught_split: int) -> FewSteps:
    """The second of two timesteps is the turn; runs with a teacher may have a split of their own."""
    return FewSteps(steps=2, turn=numbers["t_list"][1], splits=((1, split), (3, taught_split)))


def _filters(numbers: dict[str, Any]) -> tuple[Filter, ...]:
    """Temperature, top-k, top-p, as officially ordered; 0 and 1.0 are off."""
    filters: list[Filter] = []
    if numbers.get("temperature", 1.0) != 1:
        filters.append(Temperature(numbers["temperature"]))
    if numbers["top_k"]:
        filters.append(TopK(numbers["top_k"]))
    if 0 < numbers["top_p"] < 1:
        filters.append(TopP(numbers["top_p"]))
    return tuple(filters)


def _student_of_var(config: dict[str, Any]) -> VARStudentConfig:
    return var.network_config(VARStudentConfig, config["DD_Model"], config["VQVAE"])


def _teacher_of_var(config: dict[str, Any], official: dict[str, Tensor]) -> VAR:
    numbers = var.network_config(VARConfig, config["teacher VAR"], config["VQVAE"])
    teacher = from_tensors(numbers, official)
    assert isinstance(teacher, VAR)
    return teacher


def _student_of_llamagen(numbers: dict[str, Any]) -> LlamaGenStudentConfig:
    return llamagen.network_config(LlamaGenStudentConfig, numbers, code_width=numbers["codebook_dim"])


def _student(config: StudentConfig, official: dict[str, Tensor]) -> VARStudent | LlamaGenStudent:
    network = from_tensors(config, official)
    assert isinstance(network, VARStudent | LlamaGenStudent)
    return network


def _weights(fixture: Fixture, name: str) -> dict[str, Tensor]:
    return load_file(fixture.folder / f"weights_{name}.safetensors")
