"""The examples in the docstrings run, and come to what they say."""

import doctest
import importlib
import pkgutil

import pytest

from tfssl import information

MODULES = [module.name for module in pkgutil.iter_modules(information.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    assert doctest.testmod(importlib.import_module(f"tfssl.information.{name}")).failed == 0


def test_there_are_examples():
    modules = [importlib.import_module(f"tfssl.information.{name}") for name in MODULES]
    assert sum(doctest.testmod(module).attempted for module in modules) >= 10
