"""Tiny pictures and tiny recipes, so that whole trainings fit into a test."""

import hashlib
import json
import math
import struct
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from genstudio.training.recipe import TrainingRecipe, parse_recipe

TIMES = ("images_per_s", "minutes")
COMMON: dict[str, Any] = {
    "data": {"pixels": 32, "channels": 1, "flip": True},
    "save": {"every": 2},
    "sample": {"every": 0},
    "log": {"every": 3},
    "release": {"title": "A tiny network"},
}
VQ: dict[str, Any] = {
    **COMMON,
    "run": {"name": "tiny-vq", "seed": 3, "steps": 8, "batch": 4, "ema": 0.9},
    "network": {
        "kind": "multiscale_vq",
        "channels": 1,
        "width": 32,
        "width_mult": [1, 1, 1, 1],
        "res_blocks": 1,
        "code_width": 8,
        "vocab": 32,
        "sizes": [1, 2, 4],
        "phis": 2,
        "phi_ratio": 0.5,
        "quant_kernel": 3,
        "beta": 0.25,
    },
    "objective": {"kind": "reconstruction", "l1": 0.5, "restart_after": 2},
    "optimizer": {"lr": 1e-3, "weight_decay": 0.01, "clip": 1.0, "schedule": "cosine", "warmup": 0.2},
}
GRID_VQ: dict[str, Any] = {
    **VQ,
    "network": {
        "kind": "vq",
        "channels": 1,
        "width": 8,
        "width_mult": [1, 1, 1, 1],
        "res_blocks": 1,
        "latent_width": 8,
        "code_width": 4,
        "vocab": 32,
        "pixels": 32,
        "groups": 4,
    },
}
VAR: dict[str, Any] = {
    **COMMON,
    "run": {"name": "tiny-var", "seed": 3, "steps": 8, "batch": 4, "ema": 0.9},
    "network": {
        "kind": "var",
        "classes": 10,
        "depth": 1,
        "width": 32,
        "heads": 2,
        "mlp_ratio": 2.0,
        "vocab": 32,
        "code_width": 8,
        "sizes": [1, 2, 4],
        "shared_adaln": True,
        "l2_attention": True,
    },
    "tokenizer": {"release": "tiny-vq"},
    "objective": {"kind": "next_scale", "label_drop": 0.25},
    "optimizer": {"lr": 1e-3, "weight_decay": 0.05, "clip": 2.0, "schedule": "linear"},
    "sampling": {"guidance": {"cfg": 1.0, "ramp": {"kind": "plus"}}},
}
LLAMAGEN: dict[str, Any] = {
    **VAR,
    "run": {"name": "tiny-llamagen", "seed": 3, "steps": 8, "batch": 4, "ema": 0.9},
    "network": {
        "kind": "llamagen",
        "classes": 10,
        "depth": 2,
        "width": 32,
        "heads": 2,
        "hidden": 48,
        "vocab": 32,
        "side": 4,
    },
    "tokenizer": {"release": "tiny-grid"},
    "objective": {"kind": "next_token", "label_drop": 0.25},
    "sampling": {"guidance": {"cfg": 2.0}},
}
NAR: dict[str, Any] = {
    **LLAMAGEN,
    "run": {**LLAMAGEN["run"], "name": "tiny-nar"},
    "network": {**LLAMAGEN["network"], "kind": "nar"},
    "objective": {"kind": "next_neighbour", "label_drop": 0.25},
}
KL: dict[str, Any] = {
    **VQ,
    "run": {**VQ["run"], "name": "tiny-kl"},
    "network": {
        "kind": "kl",
        "channels": 1,
        "width": 8,
        "width_mult": [1, 1, 1, 1],
        "res_blocks": 1,
        "code_width": 4,
        "pixels": 32,
        "scale": 1.0,
        "groups": 4,
    },
    "objective": {"kind": "kl_reconstruction", "l1": 0.5, "kl": 1e-3},
}
MAR: dict[str, Any] = {
    **VAR,
    "run": {**VAR["run"], "name": "tiny-mar"},
    "network": {
        "kind": "mar",
        "classes": 10,
        "depth": 1,
        "width": 32,
        "heads": 2,
        "decoder_depth": 2,
        "decoder_width": 24,
        "decoder_heads": 2,
        "head_depth": 1,
        "head_width": 16,
        "side": 4,
        "code_width": 4,
        "buffer": 2,
    },
    "tokenizer": {"release": "tiny-kl"},
    "objective": {"kind": "masked", "label_drop": 0.25},
    "sampling": {"guidance": {"cfg": 2.0}, "steps": 3, "head": {"steps": {"kind": "fixed", "steps": 3}}},
}
CLASSIFIER: dict[str, Any] = {
    **COMMON,
    "run": {"name": "tiny-features", "seed": 3, "steps": 8, "batch": 4},
    "network": {"kind": "classifier", "channels": 1, "pixels": 32, "width": 8, "features": 16, "classes": 10},
    "objective": {"kind": "classification", "shift": 2},
    "optimizer": {"lr": 3e-3, "weight_decay": 0.01},
}


def recipe(tables: dict[str, Any], data: Path, **changes: Any) -> TrainingRecipe:
    """A recipe on the pictures in `data`; `changes` are keys with "__" for the dot."""
    own = deepcopy(tables)
    own["data"]["source"] = f"fashion:{data}"
    for key, value in changes.items():
        section, _, name = key.partition("__")
        own.setdefault(section, {})[name] = value
    return parse_recipe(own)


def lines(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run without what depends on the clock."""
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


def weights_hash(folder: Path) -> str:
    """Of every released weight. (The file also says how many minutes a run took.)"""
    total = hashlib.sha256()
    for name, value in sorted(load_file(folder / "model.safetensors").items()):
        total.update(name.encode() + value.numpy().tobytes())
    return total.hexdigest()


def fits(share: float, expected: float, count: int) -> bool:
    """Whether a share of `count` coins may have this chance: a right one fails once in 16,000 seeds."""
    return abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def write_pictures(folder: Path, train: int = 24, test: int = 10) -> Path:
    """Idx files of bars, one position per class."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        label_N = torch.arange(count) % 10
        pixels_NHW = torch.zeros(count, 28, 28, dtype=torch.uint8)
        for number, label in enumerate(label_N.tolist()):
            pixels_NHW[number, 2 * label : 2 * label + 6, 4:20] = 100 + 7 * (number % 20)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte", pixels_NHW)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte", label_N.to(torch.uint8))
    return folder


def _write_idx(path: Path, values: Tensor) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(header + values.numpy().tobytes())
