"""What may be set of the prediction service: section ``service`` of soil.yaml.

Belongs here: keys, defaults, checks. Imports pydantic alone, since ``soil_assets.config`` imports it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seconds = Annotated[float, Field(gt=0.0)]


class Service(BaseModel):
    """Limits, keys, local copies and prediction log of ``soil serve``; ``{home}`` is SOIL_HOME.

    Parameters
    ----------
    keys : str
        File of API keys (``soil api-key``); without one, whoever reaches the port may ask.
    operation : {"open", "key"}
        Whether ``/metrics`` and ``/readyz`` answer whoever asks, or need a key as requests do.
    operation_port : int
        Port on which ``/metrics`` and ``/readyz`` answer instead of the one of requests; 0 for the same.
    models : str
        Folder of the models' local copies.
    max_body_mb, max_unpacked_mb, max_file_mb : int
        Largest request as sent, largest one unpacked (gzip), largest file or archive unpacked. Temporary files need
        room for the largest file.
    max_spectra, max_values : int
        Most spectra, and most intensities (spectra times bands), in one request.
    max_answer_mb : int
        Largest answer.
    memory_mb : int
        Bodies of all requests together.
    max_requests, max_per_client : int
        Large requests and files at a time, in all and of one client (by its key, else by its address); more are told
        to come back.
    body_seconds : float
        Longest that a client may take to send the next megabyte or what is left, or to take one in.
    answer_seconds, file_seconds : float
        Longest that an answer may take, that reading a file may take.
    poll_seconds : float
        How often the registry is asked where the followed aliases point.
    predictions : str
        URL of the folder of the prediction log; empty for none.
    log_share : float
        Share of spectra that the prediction log takes.
    log_seconds : float
        Longest that a logged spectrum waits before it is written.
    log_queue : int
        Spectra waiting to be written; beyond it they are dropped, and counted.
    log_kinds : int
        Kinds of spectra (axis, quantity, properties asked for) that are logged of a day: each has files of its own.
        Further ones are dropped, and counted.
    log_days : int
        Days that the prediction log keeps beside today; 0 keeps all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: str = ""
    operation: Literal["open", "key"] = "open"
    operation_port: Annotated[int, Field(ge=0, le=65535)] = 0
    models: str = "{home}/models"
    max_body_mb: Annotated[int, Field(ge=1)] = 96
    max_unpacked_mb: Annotated[int, Field(ge=1)] = 128
    max_file_mb: Annotated[int, Field(ge=1)] = 32
    max_spectra: Annotated[int, Field(ge=1)] = 10_000
    max_values: Annotated[int, Field(ge=2)] = 10_000_000
    max_answer_mb: Annotated[int, Field(ge=1)] = 64
    memory_mb: Annotated[int, Field(ge=1)] = 192
    max_requests: Annotated[int, Field(ge=1)] = 64
    max_per_client: Annotated[int, Field(ge=1)] = 16
    body_seconds: Seconds = 10.0
    answer_seconds: Seconds = 30.0
    file_seconds: Seconds = 30.0
    poll_seconds: Seconds = 2.0
    predictions: str = "{home}/served"
    log_share: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    log_seconds: Seconds = 60.0
    log_queue: Annotated[int, Field(ge=1)] = 20_000
    log_kinds: Annotated[int, Field(ge=1)] = 64
    log_days: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _keys_to_ask_for(self) -> Service:
        if self.operation == "key" and not self.keys:
            raise ValueError("operation: key needs a file of keys (keys)")
        return self

    @model_validator(mode="after")
    def _one_request_fits(self) -> Service:
        if self.memory_mb < max(self.max_body_mb, self.max_unpacked_mb, self.max_file_mb):
            raise ValueError(
                "memory_mb must hold the largest request: max_body_mb, max_unpacked_mb, max_file_mb"
            )
        return self
