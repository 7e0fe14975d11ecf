"""The seconds of an audit, and what is left out because they do not suffice."""

import math
from collections.abc import Callable

from ..limits import Limit, OutOfTime, now
from .findings import Findings

GRACE = (0.1, 2.5)  # share of the budget, or seconds: whichever is more, where estimates were low


class Budget:
    """So many seconds from now, and what of `findings` was left out for want of them.

    gradient: seconds of one gradient of the client's loss, once it is measured: estimates are
    multiples of it."""

    def __init__(self, seconds: float, findings: Findings) -> None:
        self.findings, self.limit = findings, Limit(seconds)
        self.grace = max(GRACE[0] * seconds, GRACE[1])
        self.gradient = math.inf

    @property
    def left(self) -> float:
        return self.limit.left

    @property
    def room(self) -> float:
        """Seconds that a part may take: what is left, and a little more."""
        return max(self.limit.left_or_over + self.grace, 0.0)

    def interrupt(self) -> None:
        """End it now, by Ctrl-C; what is cheap still fits."""
        self.findings.interrupted = True
        self.limit.end = min(self.limit.end, now())

    def part(self, name: str, estimate: float, work: Callable[[], object]) -> object:
        """What `work` gives, or None where its estimate of seconds does not fit, where it takes
        longer, or by Ctrl-C; then `findings.left_out` says so under the name."""
        room = self.room
        if math.isinf(estimate) or not room:
            self.findings.left_out[name] = "left out: the budget was spent before"
            return None
        if estimate > room:
            self.findings.left_out[name] = (f"left out: it would take about {shown(estimate)}, and "
                                            f"the budget has {shown(room)} for it")
            return None
        try:
            with Limit(room).alarm():
                return work()
        except (OutOfTime, KeyboardInterrupt) as error:
            why = "ended by Ctrl-C"
            if isinstance(error, KeyboardInterrupt):
                self.interrupt()
            else:
                why = (f"not done after {shown(room)}, all that the budget had for it; the "
                       f"estimate was {shown(estimate)}")
            self.findings.left_out[name] = why
            return None


def shown(seconds: float) -> str:
    """A time in words: two digits."""
    if seconds < 100:
        return f"{max(seconds, 0):.2g} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
