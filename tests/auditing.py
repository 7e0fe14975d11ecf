"""What tests of the audit share: searches of three iterations, so that no test waits for a budget.

The budget itself can then be long, and no result depends on how busy the machine is."""

from lib.audit import attempts

ITERATIONS = 3


def short_attacks(monkeypatch, count: int | None = None) -> None:
    """Searches of ITERATIONS iterations, the first `count` of those that fit, by two starts."""
    real = attempts.plans

    def short(*given):
        return [(name, attempts._of(attack, ITERATIONS)) for name, attack in real(*given)[:count]]

    monkeypatch.setattr(attempts, "plans", short)
    monkeypatch.setattr(attempts, "RESTARTS", 2)
