"""Shared by all tests: quiet TensorFlow on two logical processors, the real data if there."""

import contextlib
import ctypes
import gc
import os
import shutil
import tempfile

import pytest

# Before numpy: its products here are of small matrices, on which other threads wait in a loop.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tfssl  # noqa: F401 - before TensorFlow, which it has loaded as run.py does

# isort: split
import tensorflow as tf

from tests import networks
from tests.helpers import BYOL_SETTINGS, RESNET, forget_evaluations, tiny_config
from tfssl import registry
from tfssl.config import METHODS

CACHE = tempfile.TemporaryDirectory(prefix="tfssl-")  # of these tests alone, removed at their end
os.environ["TFSSL_CACHE_DIR"] = CACHE.name

# Two replicas can be had in this process; everything else computes on the first.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


registry.register("tiny", kind="encoder")(networks.tiny)


def pytest_configure(config):
    """With xdist (-n), tests of a file stay together; without it, there is no such option."""
    if config.getoption("dist", "no") == "load":
        config.option.dist = "loadfile"


def pytest_collection_finish():
    """Libraries and tests stay for good: garbage need not be looked for among them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    """After each module, what its networks and graphs took; glibc would keep it for the process."""
    yield
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):  # of another C library
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished tiny pretraining by SimCLR: its directory, and what it returned.

    Shared by all test modules: what changes the directory copies it first.
    """
    directory = tmp_path_factory.mktemp("runs") / "finished"
    return directory, tfssl.run(tiny_config(directory, information_scalars=True))


@pytest.fixture(scope="session")
def finished_byol(tmp_path_factory):
    """The same by BYOL."""
    directory = tmp_path_factory.mktemp("runs") / "byol"
    return directory, tfssl.run(tiny_config(directory, **BYOL_SETTINGS))


@pytest.fixture(scope="session")
def finished_resnet(tmp_path_factory):
    """The same as `finished` around a ResNet-18 of 1/16 of the width."""
    directory = tmp_path_factory.mktemp("runs") / "resnet"
    return directory, tfssl.run(tiny_config(directory, **RESNET))


@pytest.fixture(autouse=True)
def _nothing_stays_registered():
    """What a test registers, and the files that it runs as plug-ins, are forgotten after it."""
    kept = [*registry.ENTRIES.values(), METHODS, registry.MODULES]
    before = [dict(table) for table in kept]
    permitted = set(registry.PERMITTED)
    yield
    for table, content in zip(kept, before):
        table.clear()
        table.update(content)
    registry.PERMITTED.clear()
    registry.PERMITTED.update(permitted)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished pretraining, for a test that changes it."""
    return shutil.copytree(finished[0], tmp_path / "copied")


@pytest.fixture
def trained(copied):
    """A copy of it as it was when its training was over, and none of its evaluations made."""
    forget_evaluations(copied)
    return copied


@pytest.fixture
def real_data_dir():
    """Directory of prepared CIFAR-10 and Imagenette; $TFSSL_DATA_DIR. Skips where it is not set."""
    path = os.environ.get("TFSSL_DATA_DIR")
    if not path or not os.path.isdir(os.path.join(path, "cifar10")):
        pytest.skip("TFSSL_DATA_DIR does not hold cifar10")
    return path
