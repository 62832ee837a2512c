"""When gateway and worker trace at all."""

import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from service.tracing_settings import TracingSettings, open_tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HERE = "http://127.0.0.1:4318"
LIMIT_S = 60


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: HERE}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{HERE}/v1/traces"}, True),
        ({ENDPOINT: HERE, "OTEL_SDK_DISABLED": "True"}, False),
        ({ENDPOINT: HERE, "OTEL_SDK_DISABLED": "1"}, True),  # the standard knows one word for it
        ({ENDPOINT: HERE, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: HERE, "OTEL_TRACES_EXPORTER": "OTLP"}, True),
    ],
)
def test_an_endpoint_switches_tracing_on(
    environment: dict[str, str], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert TracingSettings().wanted is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ENDPOINT, "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_TRACES_SAMPLER", "parentbased_sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "1%"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ],
)
def test_what_cannot_be_followed_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        TracingSettings()


def test_without_an_endpoint_nothing_is_recorded_and_nothing_said() -> None:
    tracer = open_tracer(TracingSettings(), "headrace-gateway")
    recorded = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert tracer.request("x", {b"traceparent": recorded}, 0.0) is None
    assert tracer.unrecorded_headers() == b""


@pytest.mark.parametrize("package", ["gateway", "model_service"])
def test_a_process_that_lacks_opentelemetry_says_what_to_install(package: str) -> None:
    # None in place of a module is what Python takes for one that is not installed.
    code = (
        "import runpy, sys; sys.modules['opentelemetry.sdk'] = None;"
        " sys.modules['opentelemetry.exporter'] = None;"
        f" runpy.run_module('{package}', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {ENDPOINT: HERE},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 1
    assert "pip install 'headrace[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("package", ["gateway", "model_service"])
def test_a_process_that_does_not_trace_imports_nothing_for_it(package: str) -> None:
    # redis imports the metrics of OpenTelemetry by itself, where it is installed.
    code = (
        f"import sys, {package}.__main__, {package}.app; from service import tracing_settings as tracing;"
        " tracing.open_tracer(tracing.TracingSettings(), 'x');"
        " ours = ('opentelemetry.sdk.trace', 'opentelemetry.exporter');"
        " print([name for name in sys.modules if name.startswith(ours)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert done.stdout.strip() == "[]"
