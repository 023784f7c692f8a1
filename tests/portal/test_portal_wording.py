"""How values are said to people."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny
from sekisho.portal.language import catalogue
from sekisho.portal.wording import show_duration, show_refusal, show_size, show_span, show_time, typed_duration

TOKYO = ZoneInfo("Asia/Tokyo")
AT = datetime(2026, 11, 22, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "language", "text"),
    [
        (TOKYO, "en", "Sun 22 Nov 2026 14:00 UTC+09:00"),
        (TOKYO, "ja", "2026年11月22日(日) 14:00 UTC+09:00"),
        (UTC, "en", "Sun 22 Nov 2026 05:00 UTC"),
        (ZoneInfo("America/St_Johns"), "en", "Sun 22 Nov 2026 01:30 UTC-03:30"),
    ],
)
def test_a_time_says_its_day_and_its_offset(zone, language, text):
    shown = show_time(AT, zone=zone, language=language)
    assert (shown.text, shown.machine) == (text, "2026-11-22T05:00:00Z")


def test_a_span_within_a_day_says_the_day_once():
    first, last = show_span(AT, AT + timedelta(hours=1), zone=TOKYO, language="en")
    assert (first.text, last.text) == ("Sun 22 Nov 2026 14:00", "15:00 UTC+09:00")


def test_a_span_over_midnight_says_both_days():
    first, last = show_span(AT, AT + timedelta(hours=12), zone=TOKYO, language="en")
    assert (first.text, last.text) == ("Sun 22 Nov 2026 14:00 UTC+09:00", "Mon 23 Nov 2026 02:00 UTC+09:00")


@pytest.mark.parametrize(
    ("span", "english", "japanese", "typed"),
    [
        (timedelta(hours=1, minutes=30), "1 h 30 min", "1時間30分", "1h30m"),
        (timedelta(minutes=30), "30 min", "30分", "30m"),
        (timedelta(hours=2), "2 h", "2時間", "2h"),
        (timedelta(), "0 s", "0秒", "0m"),
        (timedelta(days=1), "1 d", "1日", "24h"),
    ],
)
def test_a_duration_is_said_in_both_languages_and_as_it_is_typed(span, english, japanese, typed):
    assert (show_duration(span, language="en"), show_duration(span, language="ja"), typed_duration(span)) == (english, japanese, typed)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**3, "5.0 GiB")])
def test_a_size_is_said_in_binary_units(count, text):
    assert show_size(count) == text


@pytest.mark.parametrize(
    ("refusal", "english", "japanese"),
    [
        (
            Deny(Reason.TOO_LONG, {"room": "campaign", "longest": "2h", "found": "3h"}),
            "campaign may be used for 2 h at most; you asked for 3 h.",
            "campaign を利用できるのは最長2時間です\uff08申請は3時間\uff09。",
        ),
        (
            Deny(Reason.NOT_RUNNING, {"state": "denied"}),
            "There is nothing to end or extend: the grant is denied.",
            "終了や延長の対象がありません。利用許可の状態は「却下」です。",
        ),
        (
            Deny(Reason.NOT_YET, {"starts": "2026-11-22T05:00:00Z"}),
            "Your grant starts at Sun 22 Nov 2026 05:00 UTC.",
            "利用許可は 2026年11月22日(日) 05:00 UTC に始まります。",
        ),
    ],
)
def test_a_refusal_says_its_facts_in_the_same_language(refusal, english, japanese):
    assert show_refusal(refusal, words=catalogue("en")) == english
    assert show_refusal(refusal, words=catalogue("ja")) == japanese
