"""How a training run is watched, read once from the environment: it changes nothing about what comes out."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class MonitorSettings(BaseSettings):
    """Training's monitor."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_TRAINING_")

    metrics_host: str = Field(default="127.0.0.1", description="Address that training's metrics are served on.")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port on which Prometheus may ask a training run for its metrics; 0 takes a free one. Unset, they "
        "are only written to `metrics.prom` in the stage's folder, for node_exporter's textfile collector.",
    )
    stall_s: float = Field(default=600, gt=0, description="A run that finishes no step for so long raises an alert.")
    starvation: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="An alert is raised where this part of the time of the last `alert_window` steps was spent "
        "waiting for the data loader.",
    )
    divergence: float = Field(
        default=2.0,
        gt=1,
        description="An alert is raised where the mean loss of the last `alert_window` steps is above that of the "
        "first ones, and above this many times the lowest.",
    )
    alert_window: int = Field(default=10, ge=2, description="Steps over which training's alerts take a mean.")
