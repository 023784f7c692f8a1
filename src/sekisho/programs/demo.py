"""What `sekisho up --demo` writes: sample people, rooms, files, and a site that a room may reach. Sample data only, in a folder of its own;
files that are there are left alone."""

import csv
import io
from pathlib import Path

from sekisho.programs.folders import give
from sekisho.settings import Installation
from sekisho.system.files import write_whole

SITE_NAME = "crm.sekisho-demo.test"
SITE_PORT = 443

PEOPLE = (
    # name, shown as, groups, language
    ("hanako", "佐藤 花子 (Hanako Sato)", ("marketing",), "ja"),
    ("oliver", "Oliver Brown", ("marketing", "operations"), "en"),
    ("taro", "鈴木 太郎 (Taro Suzuki)", ("security",), "ja"),
    ("grace", "Grace Miller", ("security",), "en"),
    ("aoi", "高橋 葵 (Aoi Takahashi)", ("auditors",), "ja"),
    ("admin", "Administrator", ("administrators",), "en"),
)

_CAMPAIGN = """\
title = "Campaign data"
description = "Last week's campaign exports, which hold personal data. The customer system can be reached; nothing else can."
image = "desktop"
kind = ["desktop", "terminal"]

[access]
people = ["group:marketing"]
places = ["this-machine", "security-area"]
longest = "2h"

[approval]
by = ["group:security"]
needed = 1
reason = 10
ticket = 'MKT-\\d+'

[[files]]
from = "file:campaign-exports/2026"
to = "/data"

[targets]
crm = {{ name = "{site}", port = {port}, tls = "required" }}

[limits]
memory = "2GiB"
data = "256MiB"
home = "256MiB"
tmp = "512MiB"
cpu = 2.0
processes = 512
"""

_ORDERS = """\
title = "Order database"
description = "Production orders, for the operations team."
image = "terminal"
kind = ["terminal"]

[access]
people = ["group:operations"]
places = ["this-machine"]
hours = "Mon-Sun 22:00-05:00 Asia/Tokyo"
longest = "1h"

[approval]
by = ["group:security"]
needed = 2
reason = 20
ticket = 'OPS-\\d+'

[limits]
memory = "512MiB"
data = "64MiB"
home = "64MiB"
tmp = "64MiB"
cpu = 1.0
processes = 256
"""

_RECORDS = """\
title = "Patient records"
description = "Entered from the security area only, and with a second factor."
image = "terminal"
kind = ["terminal"]

[access]
people = ["group:marketing", "group:operations"]
places = ["security-area"]
longest = "1h"
second_factor = true

[approval]
by = ["group:security"]
needed = 1
reason = 20

[limits]
memory = "512MiB"
data = "64MiB"
home = "64MiB"
tmp = "64MiB"
cpu = 1.0
processes = 256
"""

_SETTINGS = """\
# Written by `sekisho up --demo`. docs/reference/settings.md lists every setting.

[places]
this-machine = ["127.0.0.0/8", "::1/128"]
security-area = ["10.20.0.0/16"]

[sources]
campaign-exports = "{files}"

[egress]
trust = "{trust}"

[egress.hosts]
"{site}" = ["{address}"]
"""


def site_address(installation: Installation) -> str:
    """A loopback address of this installation's own, so that two demonstrations never meet, nor any server on 127.0.0.1."""
    number = int(installation.id[:4], 16)
    return f"127.83.{number >> 8}.{max(1, number & 0xFE)}"


def write_demo(installation: Installation) -> None:
    files = installation.state / "demo-files"
    facts = {"files": files, "trust": installation.state / "tls" / "ca.pem", "site": SITE_NAME, "port": SITE_PORT, "address": site_address(installation)}
    _write_once(installation.state / "sekisho.toml", _SETTINGS.format(**facts), 0o644)
    for name, content in (("campaign", _CAMPAIGN.format(**facts)), ("orders", _ORDERS), ("records", _RECORDS)):
        path = installation.rooms / f"{name}.toml"
        _write_once(path, content, 0o640)
        give(path, 0, installation.store_group, 0o640)
    exports = files / "2026"
    exports.mkdir(parents=True, exist_ok=True)
    files.chmod(0o700)
    _write_once(exports / "campaign-46.csv", _customers(), 0o600)
    _write_once(exports / "はじめにお読みください.txt", _README, 0o600)


def _write_once(path: Path, content: str, mode: int) -> None:
    if not path.exists():
        write_whole(path, content.encode(), mode=mode)


_README = """\
この部屋のファイルは、終了時にすべて破棄されます。
見てよいのは、承認された作業に必要な範囲だけです。

    head campaign-46.csv
    curl https://crm.sekisho-demo.test/
    curl https://example.com/        # 許可されていない宛先

Everything in this room is destroyed when it ends.
"""

_FAMILY = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤")
_GIVEN = ("葵", "陽菜", "凛", "結衣", "蓮", "湊", "樹", "悠真", "さくら", "大和")


def _customers() -> str:
    """Made-up people: 500 lines of what such an export looks like."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["customer_id", "name", "mail", "campaign", "opened", "clicked"])
    for number in range(500):
        name = f"{_FAMILY[number % 10]} {_GIVEN[number * 7 // 10 % 10]}"
        writer.writerow([f"C{10_000 + number}", name, f"c{10_000 + number}@mail.example", "autumn-46", number % 3 > 0, number % 7 == 0])
    return out.getvalue()
