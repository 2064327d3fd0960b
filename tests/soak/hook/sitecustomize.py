"""Python imports this at its start, by PYTHONPATH: at SIGUSR2 it then writes down its tasks by name."""

import asyncio
import os
import signal
from pathlib import Path


def _write_tasks(_number: int, _frame: object) -> None:
    file = Path(os.environ["SOAK_TASKS_FILE"])
    names = sorted(task.get_name() for task in asyncio.all_tasks())
    whole = file.with_suffix(".new")
    whole.write_text("".join(f"{name}\n" for name in names))
    whole.replace(file)


if "SOAK_TASKS_FILE" in os.environ:
    signal.signal(signal.SIGUSR2, _write_tasks)
