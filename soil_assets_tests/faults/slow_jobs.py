"""A code location for the tests of run monitoring: one job whose run goes on until it is ended."""

from __future__ import annotations

import time

import dagster as dg


@dg.op
def wait() -> None:
    """Wait for the end of the process."""
    time.sleep(600)


@dg.job(executor_def=dg.in_process_executor)
def waits() -> None:
    """A job that does not end by itself."""
    wait()


defs = dg.Definitions(jobs=[waits])
