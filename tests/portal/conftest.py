from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.portal.portal_house import House, forget_settled


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session", autouse=True)
def _no_store_left() -> Iterator[None]:
    yield
    forget_settled()
