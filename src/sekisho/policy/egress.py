"""May this room reach this name, and may this name lead to this address? The one decision that name server, proxy and listeners ask.

Deny by default: no rule, no name. What a room asked for is unverified text until `decide_name` gives it back as a `HostName`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from sekisho.model.hostname import HostName, parse_host_name
from sekisho.model.reasons import Reason
from sekisho.model.room import EgressRule
from sekisho.policy.ranges import Reach, innermost, range_of
from sekisho.policy.verdict import Allow, Deny


@dataclass(frozen=True, slots=True)
class Listed:
    """The name in its canonical form, and the rule that lists it."""

    name: HostName
    rule: EgressRule


@dataclass(frozen=True, slots=True)
class Rules:
    """A room's rules, laid out for looking up. Made by `compile_rules`."""

    exact: Mapping[str, tuple[EgressRule, ...]]
    wildcard: Mapping[str, tuple[EgressRule, ...]]


def compile_rules(rules: Iterable[EgressRule]) -> Rules:
    exact: dict[str, list[EgressRule]] = {}
    wildcard: dict[str, list[EgressRule]] = {}
    for rule in rules:
        (wildcard if rule.wildcard else exact).setdefault(rule.name, []).append(rule)
    return Rules(exact=_targets_first(exact), wildcard=_targets_first(wildcard))


def decide_name(rules: Rules, unverified: str, port: int | None) -> Listed | Deny:
    """May the room reach this name on this port? `port` None asks for any port: a name server's question."""
    name = parse_host_name(unverified)
    if name is None:
        return Deny(_why_no_name(unverified))
    matching = _matching(rules, name)
    if not matching:
        return Deny(Reason.NAME_NOT_LISTED, {"name": name})
    rule = next((rule for rule in matching if port in (None, rule.port)), None)
    if rule is None:
        return Deny(Reason.PORT_NOT_LISTED, {"name": name, "port": str(port)})
    return Listed(name, rule)


def decide_address(rule: EgressRule, address: str, *, name: HostName, is_pinned: bool, own: frozenset[str]) -> Allow | Deny:
    """May this rule lead to this address? `is_pinned`: it comes from the administrator's own map of hosts, not from DNS. `own` are the machine's addresses."""
    found = range_of(address)
    reach, what = found.reach, found.name
    if reach < Reach.LOOPBACK and innermost(address) in own:
        reach, what = Reach.LOOPBACK, "this machine's own"
    if reach is Reach.PUBLIC:
        return Allow(str(rule))
    if rule.is_target and (reach is Reach.PRIVATE or (reach is Reach.LOOPBACK and is_pinned)):
        return Allow(rule.target)
    return Deny(Reason.ADDRESS_REFUSED, {"name": name, "address": address, "range": what})


def _matching(rules: Rules, name: HostName) -> tuple[EgressRule, ...]:
    """Precedence: the name itself before a wildcard, a longer suffix before a shorter, a target before an ordinary rule."""
    found = list(rules.exact.get(name, ()))
    _, _, suffix = name.partition(".")
    while suffix:
        found += rules.wildcard.get(suffix, ())
        _, _, suffix = suffix.partition(".")
    return tuple(found)


def _targets_first(found: dict[str, list[EgressRule]]) -> dict[str, tuple[EgressRule, ...]]:
    return {name: tuple(sorted(rules, key=lambda rule: not rule.is_target)) for name, rules in found.items()}


def _why_no_name(unverified: str) -> Reason:
    """An address in strict form, or anything of digits, dots and hexadecimal marks that some libraries read as one, gets the sentence on addresses."""
    text = unverified.strip("[]")
    last = text.rstrip(".").rpartition(".")[2].lower()
    is_numeric = bool(last) and (last.isdecimal() or (last.startswith("0x") and all(c in "0123456789abcdef" for c in last[2:])))
    return Reason.ADDRESS_LITERAL if is_numeric or _is_address(text) else Reason.NAME_NOT_CANONICAL


def _is_address(text: str) -> bool:
    for kind in (IPv4Address, IPv6Address):
        try:
            kind(text)
        except ValueError:
            continue
        return True
    return False
