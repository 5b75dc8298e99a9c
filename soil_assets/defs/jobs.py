"""Jobs: what sensors and people start. Each is one stretch of the flow in one run.

A run is one process: on a cluster one pod, which spares the imports of a pod a step. A backfill over a hundred batches
is a hundred runs, and as many pods as the run queue lets go at a time.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from soil_assets.defs.pods import run_tags


def _job(name: str, *assets: str, description: str) -> UnresolvedAssetJobDefinition:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        description=description,
        executor_def=dg.in_process_executor,
        tags=run_tags(*assets),
    )


BATCH_JOB = _job(
    "judge_batch",
    "raw_spectra",
    "validated_batches",
    "drift_reports",
    description="One batch through its gates: landed, validated, drift-checked.",
)
FROZEN_JOB = _job(
    "freeze",
    "reference_spectra",
    "benchmark_spectra",
    description="Read the frozen sets and verify their checksums.",
)
TRAINING_SET_JOB = _job(
    "collect_training_set", "training_set", description="The golden reference and every batch that passed."
)
TRAINING_JOB = _job(
    "train_and_compare",
    "trained_models",
    "benchmark_evaluations",
    "model_comparisons",
    description="One property: train the candidate, measure it on the benchmark, compare it with main.",
)
REPORT_JOB = _job("report", "decision_report", description="The page that a project lead decides on.")

TRAFFIC_JOB = _job(
    "judge_traffic",
    "served_predictions",
    "traffic_drift_reports",
    description="One day of the prediction service against the golden reference.",
)

#: Registration is left out on purpose: merged code alone registers nothing, a passed comparison does.
JOBS = (BATCH_JOB, FROZEN_JOB, TRAINING_SET_JOB, TRAINING_JOB, REPORT_JOB)
