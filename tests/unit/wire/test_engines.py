"""An engine is a row of the table, and the worker's module of its name."""

from typing import get_args

import pytest

from model_service.engines.open import module_of
from storage.manifest import Manifest
from wire.engines import ENGINES, EngineFacts, engine_named


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_every_engine_of_the_table_is_opened_by_the_worker_s_module_of_its_name(engine: EngineFacts) -> None:
    assert callable(module_of(engine.name).open_engine)
    assert engine_named(engine.name) is engine
    assert engine.suffix.startswith(".")


def test_a_manifest_s_runtime_is_one_of_the_table() -> None:
    assert get_args(Manifest.model_fields["runtime"].annotation) == tuple(engine.name for engine in ENGINES)
    with pytest.raises(ValueError, match="there is no engine 'abacus'; there are onnx"):
        engine_named("abacus")
