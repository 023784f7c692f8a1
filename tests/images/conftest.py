"""The images that rooms run, from the machine's cache or built once."""

import pytest

from sekisho.runtime import images
from sekisho.runtime.image_sources import machine_sources


def from_cache(name: str) -> images.BuiltImage:
    wanted = images.definition(name)
    return images.build(wanted, cache=images.DEFAULT_CACHE, sources=machine_sources(wanted.recipe.suite), progress=lambda _: None)


@pytest.fixture(scope="session")
def built() -> images.BuiltImage:
    return from_cache("terminal")


@pytest.fixture(scope="session")
def desktop() -> images.BuiltImage:
    return from_cache("desktop")
