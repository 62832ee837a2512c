"""trl's trainer for preferences."""

from copy import deepcopy
from typing import Any

from accelerate.data_loader import prepare_data_loader
from peft import PeftModel
from torch.utils.data import DataLoader
from trl import DPOTrainer

from training.tasks.exact_trainer import ExactTrainer


class PreferenceTrainer(ExactTrainer, DPOTrainer):
    """Compares the model with a copy of the one that training began from, and reports to no service that it runs."""

    def __init__(self, model: Any, **options: Any) -> None:
        # trl would open the model anew by its name, which weights drawn for a config have not. Adapters it takes out.
        reference = None if isinstance(model, PeftModel) else deepcopy(model)
        super().__init__(model, ref_model=reference, **options)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """All rows in each process: trl's figures are means over what the processes have in a batch, all as much."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        loader = DataLoader(rows, self.args.eval_batch_size, collate_fn=self.data_collator)
        shared_out = {"num_processes": 1, "process_index": 0, "put_on_device": True}
        prepared: DataLoader[Any] = prepare_data_loader(loader, self.accelerator.device, **shared_out)
        return prepared

    def _send_telemetry(self) -> None:
        return
