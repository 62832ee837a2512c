"""trl's trainer for preferences."""

from trl import DPOTrainer


class PreferenceTrainer(DPOTrainer):
    """It tells nobody that it runs."""

    def _send_telemetry(self) -> None:
        return
