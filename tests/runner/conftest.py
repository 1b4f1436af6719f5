"""Runs that several test modules look at. Whoever changes one copies its directory first."""

import pytest

import tfssl
from tests.helpers import tiny_config


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished tiny pretraining by SimCLR: its directory, and what it returned."""
    directory = tmp_path_factory.mktemp("runs") / "finished"
    return directory, tfssl.run(tiny_config(directory))
