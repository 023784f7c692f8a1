"""Which names a room may reach, and where they may lead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sekisho.model.hostname import parse_host_name
from sekisho.model.reasons import Reason
from sekisho.model.room import EgressRule
from sekisho.policy.egress import Listed, compile_rules, decide_address, decide_name
from sekisho.policy.verdict import Allow, Deny


def rule(name: str, port: int = 443, *, wildcard: bool = False, tls: bool = True, target: str = "") -> EgressRule:
    parsed = parse_host_name(name)
    assert parsed
    return EgressRule(name=parsed, port=port, wildcard=wildcard, tls=tls, target=target)


RULES = compile_rules(
    [rule("example.com"), rule("wild.test", wildcard=True), rule("deep.wild.test", 8443, wildcard=True), rule("db.internal.test", 5432, tls=False, target="db")]
)


@pytest.mark.parametrize(
    ("asked", "port", "answer"),
    [
        ("example.com", 443, "example.com:443"),
        ("EXAMPLE.com.", 443, "example.com:443"),
        ("example.com", None, "example.com:443"),
        ("a.wild.test", 443, "*.wild.test:443"),
        ("a.b.wild.test", 443, "*.wild.test:443"),
        ("x.deep.wild.test", 8443, "*.deep.wild.test:8443"),
        ("x.deep.wild.test", 443, "*.wild.test:443"),
        ("db.internal.test", 5432, "db.internal.test:5432"),
        ("example.com", 80, Reason.PORT_NOT_LISTED),
        ("db.internal.test", 443, Reason.PORT_NOT_LISTED),
        ("wild.test", 443, Reason.NAME_NOT_LISTED),  # a wildcard never means the suffix itself
        ("xwild.test", 443, Reason.NAME_NOT_LISTED),
        ("wild.test.evil.test", 443, Reason.NAME_NOT_LISTED),
        ("sub.example.com", 443, Reason.NAME_NOT_LISTED),
        ("com", 443, Reason.NAME_NOT_CANONICAL),
        ("localhost", 443, Reason.NAME_NOT_CANONICAL),
        ("", 443, Reason.NAME_NOT_CANONICAL),
        (".", 443, Reason.NAME_NOT_CANONICAL),
        (".wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("a..wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("a.wild.test..", 443, Reason.NAME_NOT_CANONICAL),
        ("evil.test\0.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("evil.test%00.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("evil.test\\.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("evil.test .wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("a.wild.test\n", 443, Reason.NAME_NOT_CANONICAL),
        ("-a.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("a_b.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("\u0430.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("evil.test\uff0ewild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("\u24db.wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("127。0。0。1", 443, Reason.NAME_NOT_CANONICAL),
        ("①②⑦.⓪.⓪.①", 443, Reason.NAME_NOT_CANONICAL),
        ("a" * 64 + ".wild.test", 443, Reason.NAME_NOT_CANONICAL),
        (".".join(["a" * 60] * 5) + ".wild.test", 443, Reason.NAME_NOT_CANONICAL),
        ("[example.com]", 443, Reason.NAME_NOT_CANONICAL),
        ("93.184.216.34", 443, Reason.ADDRESS_LITERAL),
        ("127.1", 443, Reason.ADDRESS_LITERAL),
        ("2130706433", 443, Reason.ADDRESS_LITERAL),
        ("0x7f000001", 443, Reason.ADDRESS_LITERAL),
        ("0x7f.0.0.0x1", 443, Reason.ADDRESS_LITERAL),
        ("0177.0.0.1", 443, Reason.ADDRESS_LITERAL),
        ("1.1.1.1.", 443, Reason.ADDRESS_LITERAL),
        ("0", 443, Reason.ADDRESS_LITERAL),
        ("::1", 443, Reason.ADDRESS_LITERAL),
        ("[::ffff:203.0.113.66]", 443, Reason.ADDRESS_LITERAL),
        ("[fe80::1%lo]", 443, Reason.ADDRESS_LITERAL),
    ],
)
def test_a_room_reaches_listed_names_only(asked: str, port: int | None, answer: str | Reason):
    found = decide_name(RULES, asked, port)
    if isinstance(answer, Reason):
        assert isinstance(found, Deny)
        assert found.reason is answer
    else:
        assert isinstance(found, Listed)
        assert str(found.rule) == answer
        assert found.name == asked.lower().removesuffix(".")


def test_no_rules_allow_nothing():
    assert decide_name(compile_rules([]), "example.com", 443) == Deny(Reason.NAME_NOT_LISTED, {"name": "example.com"})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_name_itself_goes_before_a_wildcard_and_a_target_before_an_ordinary_rule(order: tuple[int, ...]):
    rules = [rule("a.wild.test"), rule("a.wild.test", target="t", tls=False), rule("wild.test", wildcard=True)]
    found = decide_name(compile_rules([rules[at] for at in order]), "a.wild.test", 443)
    assert isinstance(found, Listed)
    assert found.rule is rules[1]


@settings(deadline=None)
@given(st.text(alphabet="ab.-0x\0_", max_size=30), st.sampled_from([443, 80, 8443, None]))
def test_fewer_rules_never_allow_more(asked: str, port: int | None):
    few = compile_rules([rule("a.b", wildcard=True)])
    more = compile_rules([rule("a.b", wildcard=True), rule("a.b", 80), rule("b.a", wildcard=True)])
    if isinstance(decide_name(few, asked, port), Listed):
        assert isinstance(decide_name(more, asked, port), Listed)


ORDINARY, TARGET = rule("a.test"), rule("a.test", target="db")


@pytest.mark.parametrize(
    ("address", "ordinary", "target", "pinned_target"),
    [
        ("93.184.216.34", True, True, True),
        ("2606:4700::1111", True, True, True),
        ("10.0.0.1", False, True, True),
        ("fd12::1", False, True, True),
        ("100.64.0.1", False, True, True),
        ("::ffff:10.0.0.1", False, True, True),
        ("127.0.0.1", False, False, True),
        ("::1", False, False, True),
        ("::ffff:127.0.0.1", False, False, True),
        ("64:ff9b::127.0.0.1", False, False, True),
        ("10.0.0.77", False, False, True),  # this machine's own
        ("93.184.216.77", False, False, True),
        ("64:ff9b::93.184.216.77", False, False, True),
        ("169.254.169.254", False, False, False),
        ("100.100.100.200", False, False, False),
        ("fd00:ec2::254", False, False, False),
        ("169.254.1.1", False, False, False),
        ("fe80::1", False, False, False),
        ("0.0.0.0", False, False, False),  # noqa: S104
        ("224.0.0.1", False, False, False),
        ("198.18.0.5", False, False, False),
        ("64:ff9b::a9fe:a9fe", False, False, False),
        ("2002:a00:1::", False, False, False),
        ("fe80::1%lo", False, False, False),
        ("nonsense", False, False, False),
    ],
)
def test_where_a_name_may_lead(address: str, ordinary: bool, target: bool, pinned_target: bool):  # noqa: FBT001
    own = frozenset({"10.0.0.77", "93.184.216.77"})
    name = ORDINARY.name

    def decide(of: EgressRule, *, is_pinned: bool) -> bool:
        verdict = decide_address(of, address, name=name, is_pinned=is_pinned, own=own)
        if isinstance(verdict, Deny):
            assert verdict.reason is Reason.ADDRESS_REFUSED
            assert verdict.facts["range"]
        return isinstance(verdict, Allow)

    assert decide(ORDINARY, is_pinned=False) is ordinary
    assert decide(ORDINARY, is_pinned=True) is ordinary
    assert decide(TARGET, is_pinned=False) is target
    assert decide(TARGET, is_pinned=True) is pinned_target
