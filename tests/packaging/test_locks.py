"""The lock files pin everything that pyproject.toml asks for, by hash, and name no place to fetch it from."""

import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-build.lock"]


def pinned(name: str) -> dict[str, set[str]]:
    """Package → versions (more than one where markers differ), as a lock file has them."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([a-z0-9.-]+)==([^\s;\\]+)", (ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~!; ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_each_package_by_hash_and_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert blocks
    assert [
        block
        for block in blocks
        if not re.match(r"[a-z0-9.-]+==\S+ .*\\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+$", block)
    ] == []
    assert "://" not in text


def test_what_the_project_asks_for_is_locked() -> None:
    everything = names(PROJECT["project"]["dependencies"])
    assert everything <= set(pinned("requirements.lock"))
    for group in PROJECT["dependency-groups"].values():
        everything |= names(group)
    # `local-embeddings` brings PyTorch by the gigabyte, in a build for each machine: it is not locked.
    everything |= names(PROJECT["project"]["optional-dependencies"]["embedded"])
    assert everything <= set(pinned("requirements-dev.lock"))
    assert names(PROJECT["build-system"]["requires"]) <= set(pinned("requirements-build.lock"))


def test_tests_run_with_the_versions_that_are_shipped() -> None:
    developed = pinned("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-build.lock"):
        for package, versions in pinned(lock).items():
            assert developed.get(package) == versions, package


def test_the_npm_lock_pins_each_package_by_hash_and_names_no_host() -> None:
    text = (ROOT / "tests/support/node/package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    mine = packages.pop("")
    assert mine["dependencies"] == json.loads((ROOT / "tests/support/node/package.json").read_text())["dependencies"]
    assert {f"node_modules/{name}" for name in mine["dependencies"]} <= set(packages)
    assert [name for name, pinned in packages.items() if not pinned["integrity"].startswith("sha512-")] == []
    assert "://" not in text
