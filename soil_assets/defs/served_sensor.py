"""The sensor that picks up days of the prediction log once they are over."""

import hashlib
import json
import time

import dagster as dg

from soil_assets.config import Settings
from soil_assets.defs.attempts import REQUEST_TAG, attempts_of
from soil_assets.defs.partitions import SERVED_DAY, SERVED_DAYS
from soil_assets.storage import Store

#: A service writes what waits within minutes; a day is taken up this long after it ended, and again if more comes.
GRACE_SECONDS = 15 * 60
DAYS_A_TICK = 10


def served_days_sensor(settings: Settings, job_name: str) -> dg.SensorDefinition:
    """Ask for a run for each day that is over, until one came to an end, for each listing of its files."""

    @dg.sensor(
        name="served_days",
        job_name=job_name,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Finds days of the prediction log that are over and compares their traffic with the reference.",
    )
    def served_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from soil_assets.defs.staleness import stored_data_version
        from soil_assets.serving.served_day import days

        if not settings.service.predictions:
            return dg.SkipReason("no prediction log is set (service.predictions)")
        if stored_data_version(context.instance, "reference_spectra") is None:
            return dg.SkipReason("the golden reference is not materialized yet")
        log = Store(settings.service.predictions.format(home=settings.home))
        today = time.strftime("%Y-%m-%d", time.gmtime(time.time() - GRACE_SECONDS))
        known: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
        existing = set(context.instance.get_dynamic_partitions(SERVED_DAY))
        requests: list[dg.RunRequest] = []
        for day in days(log):
            if day >= today or len(requests) >= DAYS_A_TICK:
                continue
            listing = hashlib.sha256("\n".join(log.files(day)).encode()).hexdigest()[:16]
            if known.get(day) == listing:
                continue
            request = f"served:{day}:{listing}"
            attempts = attempts_of(context.instance, request)
            if attempts.succeeded or attempts.step_failed:
                known[day] = listing
            elif attempts.may_be_repeated():
                requests.append(
                    dg.RunRequest(
                        partition_key=day, run_key=attempts.run_key(request), tags={REQUEST_TAG: request}
                    )
                )
        cursor = json.dumps(known, sort_keys=True)
        if not requests:
            context.update_cursor(cursor)
            return dg.SkipReason(f"no day is new among {len(known)} known")
        new = [str(r.partition_key) for r in requests if r.partition_key not in existing]
        added = [SERVED_DAYS.build_add_request(new)] if new else []
        return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=cursor)

    return served_days
