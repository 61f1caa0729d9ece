"""Rows of tensors that are not spread over processes: all of them. (Spread ones: test_together.)"""

import sys

import pytest
import torch
from torch import nn

from genstudio.errors import GenstudioError
from genstudio.training.shard import Root, optimizer_rows, put, rows, shard, whole


def test_whole_tensors_stay_as_they_are() -> None:
    tensor = torch.randn(4, 3)
    assert rows(tensor, torch.empty(4, 3)) is tensor
    assert whole({"a": [tensor, 3]})["a"][0] is tensor
    optimizer = torch.optim.AdamW([nn.Parameter(tensor.clone())])
    optimizer.param_groups[0]["params"][0].square().sum().backward()
    optimizer.step()
    before = optimizer.state_dict()
    moments = optimizer_rows(before, optimizer)["state"][0]
    assert all(moments[name] is value for name, value in before["state"][0].items())


def test_rows_are_put_where_they_belong() -> None:
    table_VD = torch.zeros(5, 2)
    put(table_VD, torch.tensor([3, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    put(table_VD, torch.tensor([4]), 7.0)
    assert table_VD.tolist() == [[3, 4], [0, 0], [0, 0], [1, 2], [7, 7]]


def test_a_torch_without_fsdp2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.distributed.fsdp", None)
    with pytest.raises(GenstudioError, match="cannot shard") as caught:
        shard(Root({}), None, mesh=None)
    assert "run.shard" in caught.value.hint
