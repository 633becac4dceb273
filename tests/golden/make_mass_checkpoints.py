"""Makes mass_*.pt, which test_checkpoints.c reads: make_mass_checkpoints.py FOLDER (PyTorch 2.13, CPU).

Laid out as the three trainers of the official MASS code lay out theirs (training/trainer_ss.py, trainer_finetuning.py,
trainer_classification.py), with tensors of a few numbers: names with "module." before them as a wrapper leaves them, a
best metric that is a number of NumPy, learned task embeddings as a ParameterList, an optimizer's state.
"""
import collections
import sys

import numpy
import torch

folder = sys.argv[1]


def state(first, **tensors):
    return collections.OrderedDict((name.replace("__", "."), torch.full(shape, first + i, dtype=torch.float32))
                                   for i, (name, shape) in enumerate(tensors.items()))


model = torch.nn.Linear(2, 1)
optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5)
rest = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(), "epoch": 7, "iteration": 70,
        "best_metric": numpy.float64(0.75), "config": {"run": {"output_dir": "runs"}, "evaluation": {"overlap": 0.5}}}
torch.save({"model": state(1, encoder__w=(2,), task_prior_0=(1, 2)), "ema_model": state(11, encoder__w=(2,)), **rest},
           f"{folder}/mass_pretrained.pt")
priors = torch.nn.ParameterList(torch.nn.Parameter(torch.full((2, 3), float(i))) for i in range(3))
averages = torch.nn.ParameterList(torch.nn.Parameter(torch.full((2, 3), 10.0 + i), requires_grad=False) for i in range(3))
torch.save({"epoch": 7, "model_state_dict": state(1, module__encoder__w=(2,), module__out__w=(1,)),
            "ema_state_dict": state(11, encoder__w=(2,), out__w=(1,)), "learnable_priors": priors.state_dict(),
            "ema_learnable_priors": averages.state_dict(), "model_type": "iris", "num_classes": 2, **rest},
           f"{folder}/mass_finetuned.pt")
torch.save({"priors": [p.detach() for p in averages], "num_classes": 2, "class_names": ["spleen", "left kidney"],
            "is_ema": True}, f"{folder}/mass_priors.pt")
torch.save({"encoder_state_dict": state(1, inc__w=(2,)), "head_state_dict": state(5, fc__weight=(2, 2), fc__bias=(2,)),
            **rest}, f"{folder}/mass_classifier.pt")
torch.save({"ema_state_dict": state(11, encoder__w=(2,))}, f"{folder}/mass_average.pt")
