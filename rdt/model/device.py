"""Where and how exactly torch computes."""

from __future__ import annotations

import ctypes
import os

import torch

from rdt.errors import UserError
from rdt.experiment.settings import TrainingSettings

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them, in malloc.h of glibc
LARGEST_MMAP_THRESHOLD = 2**25  # bytes; glibc takes no larger one


def keep_heap() -> None:
    """Let the C library keep freed memory: a step frees and asks for the same tensors, and new pages are slow to come.

    Does nothing where the library has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(TRIM_THRESHOLD, 2**30)


def open_device(settings: TrainingSettings, path: str) -> torch.device:
    """The device and the threads of ``settings``, of the experiment at ``path``; deterministic where torch can be.

    Under torchrun each process of a machine gets a GPU of its own. Raises UserError when there is none for it.
    """
    keep_heap()
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
