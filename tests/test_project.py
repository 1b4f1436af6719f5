"""What is around the code: workflows, templates, citation, the image for containers."""

import configparser
import re

import pytest

import tfssl
from tests.helpers import ROOT

yaml = pytest.importorskip("yaml")
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
EXTRAS = re.compile(r"'?\.\[([\w,]+)\]")


def read(path):
    return yaml.safe_load(path.read_text())


def steps(path):
    """The commands of a workflow."""
    return [
        step["run"] for job in read(path)["jobs"].values() for step in job["steps"] if "run" in step
    ]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_do_no_more_than_it_needs(path):
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["runs-on"] == "ubuntu-latest"
        assert all("@" in step["uses"] for step in job["steps"] if "uses" in step)
        writes = {name for name, value in job.get("permissions", {}).items() if value == "write"}
        assert writes <= {"pages", "id-token"}


def test_extras_that_are_installed_there_are_declared():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    known = set(config["options.extras_require"])
    texts = [path.read_text() for path in [*WORKFLOWS, ROOT / ".ci" / "run"]]
    named = {name for text in texts for group in EXTRAS.findall(text) for name in group.split(",")}
    assert {"test", "docs"} <= named <= known
    extra = re.search(r"ARG EXTRA=(\w+)", (ROOT / "Dockerfile").read_text())[1]
    assert {extra, "cuda"} <= known


def test_the_parts_of_a_suite_are_all_of_it():
    """Each folder of tests is in exactly one of the parts, in which others are left out."""
    suite = read(GITHUB / "workflows" / "tests.yml")["jobs"]["suite"]["strategy"]["matrix"]
    parts = [one["tests"] for one in suite["include"] if one["part"] != "slow"]
    assert {one["part"] for one in suite["include"]} == set(suite["part"])
    nightly = read(GITHUB / "workflows" / "nightly.yml")["jobs"]["slow"]["strategy"]["matrix"]
    for words in ([part.split() for part in parts], [part.split() for part in nightly["tests"]]):
        (whole,) = [one for one in words if one[0] == "tests"]
        others = [name for one in words if one is not whole for name in one]
        left_out = [word.removeprefix("--ignore=") for word in whole[1:]]
        assert sorted(left_out) == sorted(others)
        assert all((ROOT / name).is_dir() for name in others)


def test_the_release_tries_what_it_has_built():
    commands = "\n".join(steps(GITHUB / "workflows" / "release.yml"))
    assert "tfssl --flagfile=flags/shapes.flags --train_steps=2" in commands
    assert 'grep -F "tfssl-${GITHUB_REF_NAME#v}"' in commands


def test_the_citation_is_of_this_version():
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == tfssl.__version__
    assert citation["license"] == "Apache-2.0" and citation["cff-version"] == "1.2.0"
    assert citation["authors"] and citation["references"][0]["year"] == 2021


@pytest.mark.parametrize("name", ["bug", "idea"])
def test_templates_of_issues_ask_for_something(name):
    template = read(GITHUB / "ISSUE_TEMPLATE" / f"{name}.yml")
    assert template["name"] and template["description"]
    asked = [part for part in template["body"] if part.get("validations", {}).get("required")]
    assert asked and all(part["id"] and part["attributes"]["label"] for part in template["body"])


def test_the_container_has_what_the_package_needs():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    needed = {"setup.cfg", "pyproject.toml", "README.md", "LICENSE", "tfssl", "flags"}
    assert needed <= copied and all((ROOT / name).exists() for name in copied)
    assert config["metadata"]["license_files"] in copied
    ignored = set((ROOT / ".dockerignore").read_text().split())
    assert not ignored & copied
