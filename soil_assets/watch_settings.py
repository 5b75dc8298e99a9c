"""How often the live model is looked at again, and how old an asset may grow before a person is told.

Belongs here: the keys of ``watch`` in ``soil.yaml``, their defaults and checks. Does not belong here: what a schedule
or a freshness policy is (``defs.schedules``, ``defs.freshness``) and which assets exist.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: Days; dagster judges ages no finer than minutes.
Days = Annotated[float, Field(ge=0.01, le=3650.0)]

#: Days between two validations, and a few more for a run that waits in the queue.
_VALIDATION_DAYS = {"weekly": 9.0, "monthly": 35.0}
#: A service that nobody asked since before a long weekend; staging that nobody released to for half a year.
_DEFAULT_DAYS: dict[str, float | None] = {"served_predictions": 4.0, "staging_releases": 180.0}


class Watch(BaseModel):
    """What is looked at again and again, and when silence is worth an alert.

    Parameters
    ----------
    revalidate : {"monthly", "weekly", "never"}
        How often the live model of each property is measured on the benchmark again.
    stale_after_days : mapping of str to float or None
        The age in days at which an asset is too old; None: never. What is not named keeps its default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    revalidate: Literal["monthly", "weekly", "never"] = "monthly"
    stale_after_days: dict[str, Days | None] = Field(default_factory=lambda: {**_DEFAULT_DAYS})

    def days(self) -> dict[str, float]:
        """Return the age in days at which each watched asset is too old, defaults included."""
        found = {**_DEFAULT_DAYS}
        if self.revalidate != "never":
            found["live_model_validations"] = _VALIDATION_DAYS[self.revalidate]
        return {name: limit for name, limit in (found | self.stale_after_days).items() if limit is not None}
