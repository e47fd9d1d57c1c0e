"""A logger plugin of Snakemake that writes the events of a run as lines of JSON to the file in DANCEMVP_EVENTS.

Snakemake finds it by its name (``--logger dancemvp``). Events: "run_info" with the number of jobs of each rule, "job_info"
at the start of a job, "job_finished", "job_error".
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
    """A log handler that writes one line for each event; Snakemake still writes its own log."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.file = Path(os.environ["DANCEMVP_EVENTS"])

    def emit(self, record: LogRecord) -> None:
        """Write an event if it is one of ``EVENTS``; ignore all others."""
        if (event := str(getattr(record, "event", ""))) in EVENTS:
            known = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
            with open(self.file, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(json.dumps({"event": event} | known, default=str) + "\n")
