"""The container to work in, as an editor makes it of .devcontainer/devcontainer.json."""

import json
import subprocess

from tests.editors import ROOT

CONTAINER = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
IMAGE = "headrace/dev:test"


def test_its_image_has_what_make_and_git_need_and_can_write_what_it_makes() -> None:
    folder = ROOT / ".devcontainer"
    build = CONTAINER["build"]
    command = [
        "docker",
        "build",
        "--tag",
        IMAGE,
        "--target",
        build["target"],
        "--file",
        str(folder / build["dockerfile"]),
    ]
    subprocess.run([*command, str(folder / build["context"])], check=True)
    tried = (
        "git --version && curl --version && make --version && cd && python3 -m venv .venv && .venv/bin/pip --version"
    )
    ran = ["docker", "run", "--rm", "--user", CONTAINER["remoteUser"], IMAGE, "bash", "-euc", tried]
    assert "pip" in subprocess.run(ran, check=True, capture_output=True, text=True).stdout
