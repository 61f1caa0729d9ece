"""What commands say of drafts: how many were accepted, how many codes a pass made. No torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genstudio.samplers.accelerators import describe, promise

if TYPE_CHECKING:
    from genstudio.events import Picture
    from genstudio.measure.pace import Pace
    from genstudio.request import Request


def told(stats: Mapping[str, float]) -> str:
    """In words; nothing where nobody drafts."""
    if "codes_per_pass" not in stats:
        return ""
    return f"{stats['codes_per_pass']:.2f} codes a pass, {stats['acceptance']:.0%} of drafts accepted"


def drafting(request: "Request", pictures: "Sequence[Picture]", pace: "Pace | None") -> dict[str, Any]:
    """Of all pictures of a run, for JSON; empty where nobody drafted. `passes` and the other numbers are
    means over pictures; `speed`, beside plain decoding, is that of the first batch."""
    accounts = [picture.account for picture in pictures if picture.account]
    if not accounts:
        return {}
    facts = [account.facts() for account in accounts]
    means = {name: sum(one[name] for one in facts) / len(facts) for name in facts[0]}
    measured = (
        {
            "pass_seconds": pace.seconds,
            "plain_pass_seconds": pace.plain_seconds,
            "speed": pace.speed,
        }
        if pace
        else {}
    )
    return {
        "accelerators": "+".join(map(describe, request.accelerators)),
        "exactness": promise(request.accelerators, request.recipe).label,
        **means,
        **measured,
    }
