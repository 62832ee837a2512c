"""What a worker is told by its environment, read once in `__main__`."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.address import OptionalUrl
from service.size_settings import SizeSettings


class WorkerSettings(SizeSettings):
    """The worker process."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_WORKER_")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    url: OptionalUrl = Field(
        None,
        description="URL under which gateways reach this worker; unless given, http://host:port as it listens,"
        " with the machine's name for all addresses.",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="Threads that each model computes on, unless its manifest says; 0 for one a core."
    )
    cache_dir: Path = Field(
        Path(".headrace/loaded"),
        description="The artifact cache: folders that models are loaded from, one for each artifact.",
    )
    poll_s: float = Field(
        0.5, gt=0, description="How often the registry is asked which versions to load, and told which are."
    )
    registry_timeout_s: float = Field(5.0, gt=0, description="How long the registry may take to answer.")
    trial_timeout_s: float = Field(
        120.0, gt=0, description="How long a version may take to load and to answer its golden cases in its trial."
    )
    unload_grace_s: float = Field(
        5.0, ge=0, description="How long a version that is no longer wanted still answers, for gateways to take notice."
    )
    drain_s: float = Field(
        2.0, ge=0, description="How long a worker that was told to stop still takes requests, for gateways to notice."
    )
    stop_timeout_s: int = Field(30, ge=1, description="How long requests may take to finish after that.")

    def threads_or_cores(self) -> int:
        """`threads`, or the cores that this process may use."""
        return self.threads or len(os.sched_getaffinity(0))
