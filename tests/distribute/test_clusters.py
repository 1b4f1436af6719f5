"""docs/guides/hosts.md: each worker gets the TF_CONFIG that it needs, by bash and fakes."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.helpers import ROOT

PAGE = (ROOT / "docs" / "guides" / "hosts.md").read_text()

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")


def block(after, language):
    """The first block of a language after a heading."""
    return re.search(rf"```{language}\n(.*?)```", PAGE.partition(f"## {after}\n")[2], re.S)[1]


def program(directory, name, text):
    """Writes an executable bash script."""
    path = directory / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


def said(text, directory, **variables):
    """What bash prints for a text, where the programs of a directory come first."""
    path = f"{directory}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", text],
        env={"PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def expected(hosts, index):
    return {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}


def test_slurm(tmp_path):
    """srun runs a command once for each task, with SLURM_PROCID; each prints what it was given."""
    program(tmp_path, "scontrol", "[[ $* == 'show hostnames n[1-2]' ]] && printf 'n1\\nn2\\n'")
    program(tmp_path, "srun", 'for i in 0 1; do SLURM_PROCID=$i "$@"; done')
    program(tmp_path, "python", "printf '%s\\n' \"$TF_CONFIG\"")
    lines = said(block("SLURM", "bash"), tmp_path, SLURM_JOB_NODELIST="n[1-2]")
    hosts = ["n1:2222", "n2:2222"]
    assert [json.loads(line) for line in lines] == [expected(hosts, 0), expected(hosts, 1)]


def test_kubernetes(tmp_path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    service, job = yaml.safe_load_all(block("Kubernetes", "yaml"))
    name, pods = job["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"] == {"clusterIP": "None", "selector": {"job-name": name}}
    assert pods["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = pods["containers"]
    program(tmp_path, "tfssl", "printf '%s\\n' \"$TF_CONFIG\"")
    shell, option = container["command"]
    assert (shell, option) == ("bash", "-c")
    port = container["ports"][0]["containerPort"]
    hosts = [f"{name}-{i}.{pods['subdomain']}:{port}" for i in range(job["spec"]["completions"])]
    for index in range(job["spec"]["completions"]):
        (line,) = said(container["args"][0], tmp_path, JOB_COMPLETION_INDEX=str(index))
        assert json.loads(line) == expected(hosts, index)
