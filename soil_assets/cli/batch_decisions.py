"""Decisions of a person about a batch: ``soil batch accept``, ``soil batch withdraw``."""

from __future__ import annotations

import datetime
import getpass
import os
from typing import Any

from soil_assets.cli.batches import Batch, Who, Why, batch_app, soil_here
from soil_assets.cli.console import AsJson, show, show_json
from soil_assets.errors import BadInput


@batch_app.command("accept")
def batch_accept(batch: Batch, why: Why, who: Who = "", as_json: AsJson = False) -> None:
    """Accept a batch that drifts, recorded with who and why: training may take it, as it is landed now.

    Only the drift gate opens, only for this batch, and only for these bytes.
    """
    from soil_assets.defs.run import open_instance
    from soil_assets.defs.staleness import stored_data_version
    from soil_assets.storage import safe_key

    _reason(why, "an acceptance")
    soil = soil_here()
    with open_instance() as instance:
        if stored_data_version(instance, "drift_reports", batch) is None:
            raise BadInput(
                "this batch has no drift verdict to accept",
                found=batch,
                mend=f"soil run raw_spectra,validated_batches,drift_reports --partition {batch}",
            )
        content = stored_data_version(instance, "raw_spectra", batch)
    record = _record(batch, content, who, why)
    name = safe_key(batch, "batch name")
    if os.environ.get(
        "SOIL_LANDING"
    ):  # beside the batch, so that the acceptance is reviewed and kept in git with it
        soil.landing.write_json(f"{name}.accepted.json", record)
    else:
        soil.data.write_json(f"accepted/{name}.json", record)
    if as_json:
        show_json(record)
    else:
        show(f"{batch} is accepted; collect it with: soil run training_set")


@batch_app.command("withdraw")
def batch_withdraw(batch: Batch, why: Why, who: Who = "", as_json: AsJson = False) -> None:
    """Take a batch out of training, recorded with who and why: models trained from now on do without it.

    It counts for the bytes as they are landed now; other batches are no longer compared with it, so that an honest
    batch with the same soils is no copy of it. Batches that are kept in a repository are removed there instead.
    """
    from soil_assets.defs.run import open_instance
    from soil_assets.defs.staleness import stored_data_version
    from soil_assets.storage import safe_key

    if os.environ.get("SOIL_LANDING"):
        raise BadInput(
            "a batch of a repository is withdrawn by a change of the repository",
            found=batch,
            mend=f"git rm -r batches/{batch} (or batches/{batch}.dvc), and open a pull request",
        )
    _reason(why, "a withdrawal")
    soil = soil_here()
    with open_instance() as instance:
        content = stored_data_version(instance, "raw_spectra", batch)
    if content is None:
        raise BadInput("no such batch was taken", found=batch, mend="soil batch list")
    record = _record(batch, content, who, why)
    soil.data.write_json(f"withdrawn/{safe_key(batch, 'batch name')}.json", record)
    if as_json:
        show_json(record)
    else:
        show(f"{batch} is withdrawn; train without it: soil run training_set,trained_models --each")


def _reason(why: str, what: str) -> None:
    if not why.strip():
        raise BadInput(f"{what} is recorded with a reason", column="why", found="nothing", mend="give --why")


def _record(batch: str, content: str | None, who: str, why: str) -> dict[str, Any]:
    return {
        "batch": batch,
        "content": content,
        "who": (who or getpass.getuser()).strip(),
        "why": why.strip(),
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
