import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.egress.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    if os.getuid() != 0:
        pytest.skip("network namespaces need root")
    made = World(tmp_path)
    try:
        yield made
    finally:
        made.close()
