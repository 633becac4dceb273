"""Makes checkpoint.pt, which test_weights.c reads: make_checkpoint.py OUT (PyTorch 2.13, CPU).

Laid out as the official MASS code lays out its checkpoints: weights under DistributedDataParallel's
names, averages, an optimizer's state and settings beside them; and every kind of number, a view that
is not contiguous, two tensors that share a storage, a scalar and an empty tensor.
"""
import collections
import sys

import torch

linear = torch.nn.Linear(3, 2)
with torch.no_grad():
    linear.weight.copy_(torch.arange(6.0).reshape(2, 3))
    linear.bias.copy_(torch.tensor([0.5, -0.5]))
optimizer = torch.optim.AdamW(linear.parameters(), lr=0.1)
linear(torch.ones(1, 3)).sum().backward()
state = linear.state_dict()  # before the step changes it
state = collections.OrderedDict((f"module.{name}", value.clone()) for name, value in state.items())
optimizer.step()
base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
state["half"] = torch.tensor([1.5, -2.0], dtype=torch.float16)
state["bfloat"] = torch.tensor([1.5, -3.0], dtype=torch.bfloat16)
state["double"] = torch.tensor([1e-300], dtype=torch.float64)
state["long"] = torch.tensor([2 ** 40, -1], dtype=torch.int64)
state["yes"] = torch.tensor([True, False, True])
state["turned"] = base.permute(2, 0, 1)[1:]
state["part"] = base[1, :, 2]
state["scalar"] = torch.tensor(7.0)
state["nothing"] = torch.zeros(0, 4)
state["parameter"] = torch.nn.Parameter(torch.tensor([3.0]))
torch.save({"model": state, "ema_model": {"weight": torch.full((2, 3), 0.25)}, "epoch": 3,
            "optimizer": optimizer.state_dict(), "best_metric": -0.5, "negative": -70000,
            "config": {"name": "small", "sizes": [1, 2], "flags": (True, False, None)}}, sys.argv[1])
