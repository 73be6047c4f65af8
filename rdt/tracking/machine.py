"""How busy the machine is, and this process on it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

MEGA = 1e6  # as MLflow's own system metrics count


class Machine:
    """Looks at processor and memory; each look covers the time since the one before.

    A GPU is looked at only where the process itself has begun to use it.
    """

    def __init__(self) -> None:
        import psutil  # here, so that commands that track nothing start without it

        self._psutil, self._process = psutil, psutil.Process(os.getpid())
        self.sample()  # the time of the first look begins now

    def sample(self) -> dict[str, float]:
        """Percent and megabytes by name; what MLflow samples itself has MLflow's names."""
        memory = self._psutil.virtual_memory()
        return {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / MEGA,
            "system_memory_usage_percentage": 100 * memory.used / memory.total,
            "process_cpu_percentage": self._process.cpu_percent(),
            "process_memory_megabytes": self._process.memory_info().rss / MEGA,
            **dict(_gpus()),
        }


def _gpus() -> Iterator[tuple[str, float]]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return
    for at in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(at)
        yield f"gpu_{at}_memory_usage_megabytes", (total - free) / MEGA
        yield f"gpu_{at}_memory_usage_percentage", 100 * (total - free) / total
