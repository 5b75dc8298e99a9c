"""Jobs: what sensors and people start. Each is one stretch of the flow in one run."""

from __future__ import annotations

import dagster as dg

BATCH_JOB = dg.define_asset_job(
    "judge_batch",
    selection=dg.AssetSelection.assets("raw_spectra", "validated_batches", "drift_reports"),
    description="One batch through its gates: landed, validated, drift-checked.",
)
FROZEN_JOB = dg.define_asset_job(
    "freeze",
    selection=dg.AssetSelection.assets("reference_spectra", "benchmark_spectra"),
    description="Read the frozen sets and verify their checksums.",
)
TRAINING_SET_JOB = dg.define_asset_job(
    "collect_training_set",
    selection=dg.AssetSelection.assets("training_set"),
    description="The golden reference and every batch that passed.",
)
TRAINING_JOB = dg.define_asset_job(
    "train_and_compare",
    selection=dg.AssetSelection.assets("trained_models", "benchmark_evaluations", "model_comparisons"),
    description="One property: train the candidate, measure it on the benchmark, compare it with main.",
)
REPORT_JOB = dg.define_asset_job(
    "report",
    selection=dg.AssetSelection.assets("decision_report"),
    description="The page that a project lead decides on.",
)

TRAFFIC_JOB = dg.define_asset_job(
    "judge_traffic",
    selection=dg.AssetSelection.assets("served_predictions", "traffic_drift_reports"),
    description="One day of the prediction service against the golden reference.",
)

#: Registration is left out on purpose: merged code alone registers nothing, a passed comparison does.
JOBS = (BATCH_JOB, FROZEN_JOB, TRAINING_SET_JOB, TRAINING_JOB, REPORT_JOB)
