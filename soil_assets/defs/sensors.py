"""Sensors: a whole batch in the landing zone, and code that was merged."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from soil_assets.config import Settings
from soil_assets.defs import backfill
from soil_assets.defs.attempts import (
    REQUEST_TAG,
    attempts_of,
    batches_of_backfills,
    partitions_under_way,
)
from soil_assets.defs.gates import BATCH_CHAIN, judged_at
from soil_assets.defs.landing_zone import GROWING, batch_version, in_words, links_in, list_batch
from soil_assets.defs.partitions import BATCH, BATCHES
from soil_assets.defs.staleness import stored_code_version, stored_data_version
from soil_assets.defs.verdict_events import forget_displacing_plans
from soil_assets.defs.verdicts import materialization
from soil_assets.errors import BadInput
from soil_assets.storage import Store, batch_name

#: A tick hashes at most this many new or changed batches; the rest waits for the next tick, so that a landing zone
#: filled at once never runs into the 60 seconds that a tick may take.
BATCHES_A_TICK = 50
#: A tick that looks at slow storage, or at many verdicts, ends after this time; the next one goes on there.
TICK_SECONDS = 20.0
#: Batches that are not taken, of which a tick tells by name.
_NAMED = 5


@dataclass
class _Cursor:
    """What a tick remembers: of judged batches the listing and what was judged; where the next tick begins.

    What was judged are the numbers of the latest materializations, from ``raw_spectra`` to where judging ended.
    """

    judged: dict[str, list[Any]] = field(default_factory=dict)
    begin: str = ""

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        """Return a cursor; one of an older form remembers nothing, so that every batch is looked at again."""
        stored = json.loads(text) if text else {}
        return cls(**stored) if stored.keys() == {"judged", "begin"} else cls()

    def write(self) -> str:
        """Return its text."""
        return json.dumps(vars(self), sort_keys=True)


def latest_by_partition(instance: dg.DagsterInstance, asset: str) -> Mapping[str, int]:
    """Return the number of the latest materialization of each partition, in one query."""
    return instance.event_log_storage.get_latest_storage_id_by_partition(
        dg.AssetKey(asset), dg.DagsterEventType.ASSET_MATERIALIZATION
    )


def new_batches_sensor(
    settings: Settings, job_name: str, checks: Mapping[str, list[str]]
) -> dg.SensorDefinition:
    """Ask for a run for each batch that is whole and has no verdict about its bytes.

    The verdicts say what is done, not the sensor's own memory: a run that was cancelled or killed, a deleted partition
    and wiped assets all leave a batch without one, and it is asked for again, under a run key of its own. The same
    bytes landing twice change nothing.

    Parameters
    ----------
    checks : mapping
        Blocking checks by asset.
    """

    @dg.sensor(
        name="new_batches",
        job_name=job_name,
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds batches that are whole in the landing zone and sends each through its gates.",
    )
    def new_batches(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if stored_data_version(context.instance, "reference_spectra") is None:
            return dg.SkipReason("the golden reference is not materialized yet; batches wait for it")
        forget_displacing_plans(context.instance)
        tick = _Tick(settings, context.instance, checks, _Cursor.read(context.cursor))
        tick.look()
        for name, reason in tick.untaken.items():
            if reason != GROWING:
                context.log.warning(f"{name}: {reason}")
        added = [BATCHES.build_add_request(tick.added)] if tick.added else []
        if not tick.requests and not added:
            context.update_cursor(tick.cursor.write())
            return dg.SkipReason(tick.in_words())
        return dg.SensorResult(
            run_requests=tick.requests, dynamic_partitions_requests=added, cursor=tick.cursor.write()
        )

    return new_batches


class _Tick:
    """One look at the landing zone: the runs to ask for, the partitions to add, and what is not taken."""

    def __init__(
        self,
        settings: Settings,
        instance: dg.DagsterInstance,
        checks: Mapping[str, list[str]],
        cursor: _Cursor,
    ) -> None:
        self.settings, self.instance, self.checks, self.cursor = settings, instance, checks, cursor
        self.landing = Store(settings.url("landing"))
        self.requests: list[dg.RunRequest] = []
        self.added: list[str] = []
        self.waiting = 0
        self.untaken: dict[str, str] = {}
        self.existing = set(instance.get_dynamic_partitions(BATCH))
        self.made = {asset: latest_by_partition(instance, asset) for asset in BATCH_CHAIN}
        self.under_way = partitions_under_way(instance) | batches_of_backfills(
            instance, backfill.JOB, backfill.OP, self.existing
        )

    def look(self) -> None:
        """Look at each batch, from where the last tick ended, until there is enough to do."""
        names = self.landing.folders()
        for name in sorted(set(self.cursor.judged) - set(names)):
            del self.cursor.judged[name]
        later = [n for n in names if n >= self.cursor.begin]
        end = time.monotonic() + TICK_SECONDS
        self.cursor.begin = ""
        for name in [*later, *names[: len(names) - len(later)]]:
            if len(self.requests) >= BATCHES_A_TICK or time.monotonic() > end:
                self.cursor.begin = name
                break
            try:
                self._look_at(batch_name(name))
            except (BadInput, OSError) as error:  # one batch that cannot be read holds no other
                self.untaken[name] = in_words(error)
        self.untaken |= links_in(self.landing)

    def _look_at(self, name: str) -> None:
        listing = list_batch(self.landing, name, self.settings.landing.quiet_seconds)
        if self._is_judged(name, listing.fingerprint):
            return
        if not listing.whole:
            self.untaken[name] = listing.reason
            return
        if name in self.under_way:
            self.waiting += 1
            return
        version = batch_version(self.landing, name)
        if stored_data_version(self.instance, BATCH_CHAIN[0], name) == version:
            end = judged_at(self.instance, self.checks, name)
            if end is not None:
                reached = BATCH_CHAIN[: BATCH_CHAIN.index(end) + 1]
                self.cursor.judged[name] = [listing.fingerprint, [self.made[a].get(name) for a in reached]]
                self._add(name)
                return
        request = f"{name}:{version}"
        attempts = attempts_of(self.instance, request)
        if attempts.under_way or time.time() < attempts.due:
            self.waiting += 1
            return
        self._add(name)
        # What lies there may be what lay there once before: the run key says what it comes after, too.
        before = materialization(self.instance, BATCH_CHAIN[0], name)
        after = f":{before.storage_id}" if before else ""
        self.requests.append(
            dg.RunRequest(
                partition_key=name,
                run_key=attempts.run_key(request + after),
                tags={"soil/batch": name, "soil/content": version, REQUEST_TAG: request},
            )
        )

    def _is_judged(self, name: str, fingerprint: str) -> bool:
        """Whether an earlier tick saw the verdict about this listing, and nothing was made or deleted since."""
        listed, judged = self.cursor.judged.get(name, ("", []))
        latest = [self.made[asset].get(name) for asset in BATCH_CHAIN[: len(judged)]]
        return listed == fingerprint and bool(judged) and judged == latest and name in self.existing

    def _add(self, name: str) -> None:
        if name not in self.existing:
            self.added.append(name)

    def in_words(self) -> str:
        """Return why a tick asks for nothing."""
        parts = [f"no new batch among {len(self.cursor.judged)} judged"]
        if self.waiting:
            parts.append(f"{self.waiting} wait for their run")
        named = [f"{name}: {reason}" for name, reason in self.untaken.items()]
        if len(named) > _NAMED:
            named[_NAMED:] = [f"and {len(named) - _NAMED} more"]
        return "; ".join([*parts, *named])


def merged_changes_sensor(jobs: list[UnresolvedAssetJobDefinition]) -> dg.SensorDefinition:
    """Ask for runs of what a merge changed: deployed code version against the stored one.

    Batches that were landed under older code of a gate are judged again; models are trained again. A run that was
    cancelled or whose process died is asked for again; one that a step or a gate ended is not.
    """

    @dg.sensor(
        name="merged_changes",
        jobs=jobs,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Compares deployed code versions with those of the last materializations.",
    )
    def merged_changes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        definitions = context.repository_def
        assert definitions is not None  # noqa: S101  # given in every tick, real or built
        graph = definitions.asset_graph
        requests = []
        for job in jobs:
            keys = [k for k in job.selection.resolve(graph) if graph.get(k).is_materializable]
            for partition in _partitions(context.instance, graph, keys):
                changed = []
                for key in keys:
                    stored = stored_code_version(context.instance, key.path[-1], partition)
                    if stored is not None and stored != graph.get(key).code_version:
                        changed.append(f"{key.path[-1]}={graph.get(key).code_version}")
                if not changed:
                    continue
                request = f"merged:{job.name}:{partition or ''}:{','.join(sorted(changed))}"
                attempts = attempts_of(context.instance, request)
                if not attempts.may_be_repeated():
                    continue
                requests.append(
                    dg.RunRequest(
                        job_name=job.name,
                        partition_key=partition,
                        run_key=attempts.run_key(request),
                        tags={"soil/reason": "merged changes", REQUEST_TAG: request},
                    )
                )
        if not requests:
            return dg.SkipReason("every materialization is of the deployed code")
        return dg.SensorResult(run_requests=requests)

    return merged_changes


def _partitions(instance: dg.DagsterInstance, graph: Any, keys: list[dg.AssetKey]) -> Iterator[str | None]:
    partitions = next((graph.get(k).partitions_def for k in keys if graph.get(k).partitions_def), None)
    if partitions is None:
        yield None
    else:
        yield from partitions.get_partition_keys(dynamic_partitions_store=instance)
