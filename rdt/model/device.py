"""Where and how exactly torch computes."""

from __future__ import annotations

import os

import torch

from rdt.errors import UserError
from rdt.experiment.settings import TrainingSettings


def open_device(settings: TrainingSettings, path: str) -> torch.device:
    """The device and the threads of ``settings``, of the experiment at ``path``; deterministic where torch can be.

    Under torchrun each process of a machine gets a GPU of its own. Raises UserError when there is none for it.
    """
    torch.set_num_threads(settings.threads)
    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        torch.set_deterministic_debug_mode("error")  # the same as use_deterministic_algorithms, without its imports
        torch.utils.deterministic.fill_uninitialized_memory = False  # 500 fills a step, of what is overwritten at once
        return torch.device("cpu")
    if not torch.cuda.is_available():
        problem = "training.device is cuda, and torch finds no GPU"
        raise UserError(path, problem, "set it to auto or cpu, or install a build of torch for the GPU's driver")
    number, present = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= present:
        problem = f"process {number + 1} on this machine finds {present} GPU" + "s" * (present > 1)
        raise UserError(path, problem, "let torchrun start as many processes as there are GPUs, or set device to cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts: sums in a fixed order
    torch.set_deterministic_debug_mode("warn")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device
