"""A logger plugin of Snakemake: what happens in a run, as lines of JSON in the file that DANCEMVP_EVENTS names.

Snakemake finds it by its name (``--logger dancemvp``). Events: "run_info" with the number of jobs by rule, "job_info" when
a job begins, "job_finished", "job_error".
"""

from __future__ import annotations

import json
import os
from logging import LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase

FIELDS = ("stats", "jobid", "job_id", "rule_name", "log")
EVENTS = ("run_info", "job_info", "job_finished", "job_error")


class LogHandler(LogHandlerBase):
    """Writes one line an event; Snakemake's own log goes on beside it."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.file = Path(os.environ["DANCEMVP_EVENTS"])

    def emit(self, record: LogRecord) -> None:
        """Write an event that somebody waits for, and pass over all else."""
        if (event := str(getattr(record, "event", ""))) in EVENTS:
            known = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
            with open(self.file, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps({"event": event} | known, default=str) + "\n")
