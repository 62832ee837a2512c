"""trl's trainer for preferences."""

from copy import deepcopy
from typing import Any

from peft import PeftModel
from trl import DPOTrainer


class PreferenceTrainer(DPOTrainer):
    """It holds the model against what training began from, wherever that came from, and tells nobody that it runs."""

    def __init__(self, model: Any, **options: Any) -> None:
        # trl would open the model anew by its name, which weights drawn for a config have not. Adapters it takes out.
        reference = None if isinstance(model, PeftModel) else deepcopy(model)
        super().__init__(model, ref_model=reference, **options)

    def _send_telemetry(self) -> None:
        return
