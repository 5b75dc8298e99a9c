"""Kubernetes as the jobs and assets see it: what a pod of theirs may use, and which executor runs steps.

Belongs here: resources by asset, and the choice between one pod a run and one pod a step. Does not belong here: the
cluster's own settings (``deploy/dagster/values.yaml``). Nothing here imports ``dagster_k8s`` before a run starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements

from soil_assets.errors import BadInput

#: Chooses the executor: ``in_process`` (one process, or pod, a run) or ``pods`` (a pod a step).
EXECUTOR = "SOIL_EXECUTOR"
_TAG = "dagster-k8s/config"


@dataclass(frozen=True)
class Needs:
    """What a step asks of a node: processors, and memory in MiB that it gets for sure and at most."""

    cpu: float = 0.25
    memory: int = 512
    most_memory: int = 1024

    def resources(self) -> dict[str, dict[str, str]]:
        """Return them as Kubernetes writes them; processors have no limit, since throttling only makes steps longer."""
        return {
            "requests": {"cpu": f"{round(self.cpu * 1000)}m", "memory": f"{self.memory}Mi"},
            "limits": {"memory": f"{self.most_memory}Mi"},
        }


#: By asset; the others are content with what the code location's pod has.
NEEDS: Mapping[str, Needs] = {
    "raw_spectra": Needs(0.25, 512, 2048),
    "validated_batches": Needs(0.5, 1024, 3072),
    "drift_reports": Needs(0.5, 1024, 3072),
    "training_set": Needs(0.5, 2048, 8192),
    "trained_models": Needs(2.0, 4096, 16384),
    "benchmark_evaluations": Needs(0.5, 1024, 4096),
    "model_comparisons": Needs(0.5, 1024, 4096),
}


def step_tags(asset: str) -> dict[str, Any]:
    """Return an asset's ``op_tags``: the pod of its step. Tags of the run do not reach the pods of steps."""
    return {_TAG: {"container_config": {"resources": NEEDS[asset].resources()}}}


def run_tags(*assets: str) -> dict[str, Any]:
    """Return a job's tags: the one pod that runs all of these assets, one after another."""
    known = [NEEDS[a] for a in assets if a in NEEDS]
    if not known:
        return {}
    largest = Needs(
        max(n.cpu for n in known), max(n.memory for n in known), max(n.most_memory for n in known)
    )
    return {_TAG: {"container_config": {"resources": largest.resources()}}}


@dg.executor(
    name="pods",
    # dagster_k8s's own schema is applied when the run starts: reading it here would import Kubernetes's client.
    config_schema=dg.Field(dict, is_required=False, default_value={}),
    requirements=multiple_process_executor_requirements(),
)
def pods(init_context: dg.InitExecutorContext) -> dg.Executor:
    """Run each step in a pod of its own, with the resources of its asset: dagster-k8s's ``k8s_job_executor``."""
    from dagster._config import process_config

    try:
        from dagster_k8s import k8s_job_executor
    except ImportError:
        raise BadInput(
            "steps in pods need another package",
            column=EXECUTOR,
            found="pods",
            mend="pip install 'soil_assets[k8s]', or set SOIL_EXECUTOR=in_process",
        ) from None
    given = {k: v for k, v in init_context.executor_config.items() if v is not None}
    processed = process_config(k8s_job_executor.config_schema.config_type, given)
    if not processed.success or processed.value is None:
        problems = "; ".join(e.message for e in processed.errors or [])
        raise BadInput("the executor 'pods' cannot read its config", found=problems or repr(given))
    made = k8s_job_executor.executor_creation_fn
    assert made is not None  # noqa: S101  # every executor has one
    return made(init_context._replace(executor_config=processed.value, executor_def=k8s_job_executor))


def executor_of(env: Mapping[str, str] | None = None) -> dg.ExecutorDefinition:
    """Return the executor of assets that no job of ours runs: backfills of assets, and what automation asks for.

    Raises
    ------
    BadInput
        When ``SOIL_EXECUTOR`` names neither.
    """
    chosen = (os.environ if env is None else env).get(EXECUTOR) or "in_process"
    known = {"in_process": dg.in_process_executor, "pods": pods}
    if chosen not in known:
        raise BadInput("unknown executor", column=EXECUTOR, found=chosen, expected="in_process or pods")
    return known[chosen]
