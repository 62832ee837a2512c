"""deploy/pin.sh, asking a Docker that is a script."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.deploy.manifests import DEPLOY, RENDERED, WORKLOADS, container, of_kind, rendered

IMAGES = dict(re.findall(r"\$\{([A-Z]+_IMAGE):-([^}]+)\}", (DEPLOY / "compose.yaml").read_text()))
DIGEST = f"sha256:{'0' * 64}"
# The image that is asked for is the last argument.
ANSWERS = f'case "${{!#}}" in version) ;; *) echo {DIGEST} ;; esac'
ONE_IS_UNKNOWN = f'case "${{!#}}" in version) ;; valkey/*) echo "not found" >&2; exit 1 ;; *) echo {DIGEST} ;; esac'


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    """A copy of what the script reads."""
    folder = tmp_path / "deploy"
    folder.mkdir()
    for name in ("pin.sh", "compose.yaml"):
        shutil.copy(DEPLOY / name, folder)
    shutil.copytree(DEPLOY / "kubernetes", folder / "kubernetes")
    return folder


def pin(deploy: Path, docker: str) -> subprocess.CompletedProcess[str]:
    stub = deploy.parent / "bin" / "docker"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(f"#!/usr/bin/env bash\n{docker}\n")
    stub.chmod(0o755)
    path = f"{stub.parent}:/usr/bin:/bin"
    return subprocess.run([deploy / "pin.sh"], env={"PATH": path}, capture_output=True, text=True, timeout=60)


def test_every_image_of_compose_is_pinned_to_what_the_registry_says(deploy: Path) -> None:
    done = pin(deploy, ANSWERS)
    assert done.returncode == 0, done.stderr
    pinned = dict(line.split("=", 1) for line in (deploy / ".env").read_text().splitlines())
    assert pinned == {variable: f"{image}@{DIGEST}" for variable, image in IMAGES.items()}


def test_what_else_is_set_stays(deploy: Path) -> None:
    (deploy / ".env").write_text("HEADRACE_PUBLISH=0.0.0.0:80\nVALKEY_IMAGE=mine\n")
    assert pin(deploy, ANSWERS).returncode == 0
    lines = (deploy / ".env").read_text().splitlines()
    assert lines[0] == "HEADRACE_PUBLISH=0.0.0.0:80"
    assert len(lines) == 1 + len(IMAGES)
    assert "VALKEY_IMAGE=mine" not in lines


def test_the_images_of_others_on_kubernetes_are_printed_as_a_kustomization_takes_them(deploy: Path) -> None:
    printed = yaml.safe_load("images:" + pin(deploy, ANSWERS).stdout.partition("images:")[2])["images"]
    used = {
        container(workload)["image"].rpartition(":")[0]
        for name in RENDERED
        for workload in of_kind(rendered(name), *WORKLOADS)
    }
    assert {image["name"] for image in printed} == {name for name in used if not name.startswith("headrace/")}
    assert all(image["digest"] == DIGEST for image in printed)


@pytest.mark.parametrize("before", [None, "VALKEY_IMAGE=mine\n"])
def test_where_one_image_is_not_known_nothing_is_pinned(deploy: Path, before: str | None) -> None:
    if before is not None:
        (deploy / ".env").write_text(before)
    done = pin(deploy, ONE_IS_UNKNOWN)
    assert done.returncode == 1
    assert f"no registry tells the digest of {IMAGES['VALKEY_IMAGE']}: nothing was pinned" in done.stderr
    assert [path.read_text() for path in deploy.glob(".env*")] == ([] if before is None else [before])


def test_an_answer_that_is_no_digest_is_not_written(deploy: Path) -> None:
    done = pin(deploy, "exit 0")
    assert done.returncode == 1
    assert "nothing was pinned" in done.stderr
    assert not list(deploy.glob(".env*"))


def test_without_buildx_it_says_what_is_needed(deploy: Path) -> None:
    done = pin(deploy, "exit 1")
    assert (done.returncode, done.stderr) == (1, "this needs Docker's buildx\n")
