"""The image that every terminal room runs, from the machine's cache or built once."""

import pytest

from sekisho.runtime import images
from sekisho.runtime.image_sources import machine_sources


@pytest.fixture(scope="session")
def built() -> images.BuiltImage:
    wanted = images.definition("terminal")
    return images.build(wanted, cache=images.DEFAULT_CACHE, sources=machine_sources(wanted.recipe.suite), progress=lambda _: None)
