"""Nearest codes of every code: the table that LANTERN borrows mass by.

Distances are those of the raw table, also where the tokenizer normalises its codes (lantern.md section 4), in
float64 and by matrix products, some rows at a time. Official code keeps all V - 1 neighbours of every code;
here only the k that are read. Tables lie in the user's cache under the hash of the code vectors.
Shapes: V codes, C code width, k neighbours, r rows of one piece.
"""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genstudio.files import home, write

DISTANCES = 1 << 24  # held at one time: 128 MB
NAME = "nearest_Vk"


def neighbours(table_VC: Tensor, k: int) -> Tensor:
    """`nearest_codes`, computed once per table of codes and k and then read from the user's cache."""
    path = place(table_VC, k)
    if not path.is_file():
        nearest_Vk = nearest_codes(table_VC, k).cpu()
        write(path, lambda temporary: save_file({NAME: nearest_Vk}, temporary))
    return load_file(path)[NAME].to(table_VC.device)


def nearest_codes(table_VC: Tensor, k: int) -> Tensor:
    """The k nearest other codes of every code, nearest first, int32 [V, k]; the lower id wins a tie.

    Raises ValueError unless 0 <= k < V.
    """
    codes = len(table_VC)
    if not 0 <= k < codes:
        raise ValueError(f"{codes} codes have at most {codes - 1} neighbours, {k} are asked for.")
    table_VC = table_VC.double()
    norm_V = table_VC.square().sum(1)
    rows = max(1, DISTANCES // codes)
    return torch.cat([_nearest(table_VC, norm_V, first, rows, k) for first in range(0, codes, rows)])


def place(table_VC: Tensor, k: int) -> Path:
    """Where the table of these codes lies or would lie."""
    vectors = table_VC.detach().float().cpu().contiguous().numpy().tobytes()
    return home() / "neighbours" / f"{hashlib.sha256(vectors).hexdigest()}-{k}.safetensors"


def _nearest(table_VC: Tensor, norm_V: Tensor, first: int, rows: int, k: int) -> Tensor:
    """|c|^2 - 2 b c: the squared distance of codes b and c but for |b|^2, which changes no order."""
    distance_rV = torch.addmm(norm_V, table_VC[first : first + rows], table_VC.t(), alpha=-2)
    distance_rV.diagonal(first).fill_(torch.inf)
    return distance_rV.sort(dim=1, stable=True).indices[:, :k].int()
