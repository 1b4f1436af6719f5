import numpy as np
import pytest


@pytest.fixture(autouse=True)
def same_draws(request):
    """Every test draws from the start of its module's generator, whichever ran before it."""
    if hasattr(request.module, "RNG"):
        start = np.random.default_rng(0).bit_generator.state
        request.module.RNG.bit_generator.state = start
