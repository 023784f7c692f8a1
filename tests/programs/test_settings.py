"""Settings: defaults that work, and faults that name their place."""

import pytest

from sekisho.model.errors import Trouble
from sekisho.programs.web import addresses
from sekisho.settings import SERVICES, Settings, make_installation, open_installation, read_settings


def written(tmp_path, text):
    (tmp_path / "sekisho.toml").write_text(text)
    return tmp_path


def test_no_file_means_defaults_that_work(tmp_path):
    found = read_settings(tmp_path)
    assert found == Settings()
    where = addresses(found, None)
    assert (where.portal_origin, where.rooms_origin) == ("https://sekisho.localhost:8443", "https://rooms.localhost:8444")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[web]\nlisen = '127.0.0.1:1'", "web.lisen"),
        ("[web]\nportal_name = '127.0.0.1'", "web.portal_name"),
        ("[places]\noffice = ['10.0.0.0/33']", "places.office.0"),
        ("[runtime]\nmemory_share = 2", "runtime.memory_share"),
        ("[web", "sekisho.toml"),
        ("[egress.hosts]\n'1.2.3.4' = ['1.2.3.4']", "egress.hosts"),
    ],
)
def test_a_fault_is_refused_with_its_place(tmp_path, text, said):
    with pytest.raises(Trouble, match=said.replace(".", r"\.")):
        read_settings(written(tmp_path, text))


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:0", "127.0.0.1:65535", "127.0.0.1:x"])
def test_an_address_that_can_not_be_listened_on_is_refused(listen):
    with pytest.raises(Trouble):
        addresses(Settings(), listen)


def test_an_installation_keeps_its_id_and_its_uids_are_its_own(tmp_path):
    one, two = make_installation(tmp_path / "one"), make_installation(tmp_path / "two")
    assert open_installation(tmp_path / "one") == one
    assert len({found.uid(service) for found in (one, two) for service in SERVICES}) == 2 * len(SERVICES)
    assert one.run != two.run
    with pytest.raises(Trouble, match="no installation"):
        open_installation(tmp_path / "three")
