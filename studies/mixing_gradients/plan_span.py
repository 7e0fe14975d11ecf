"""The part of the plan of notebook 06 that sets the attack in the span beside others: by batch size
and rounds, on a trained victim, and under noise.

The attack in the span has cells of its own, since its optimiser changed after the others' cells
were stored."""

from collections.abc import Callable

from studies import store
from studies.mixing_gradients import settings
from studies.mixing_gradients.compute import mixing

Sweeps = dict[str, store.Sweep]
Configs = Callable[[str], list[dict]]  # a profile -> its configs

FULL_SPAN = 2  # version of the cells in the span: L-BFGS walks until the gradient is matched


def sweep(name: str, compute: Callable, configs: Configs, comparable: bool | str,
           minutes: float, version: int = 1) -> store.Sweep:
    """A sweep of both profiles; comparable and minutes: of the paper profile."""
    return store.Sweep(
        name, compute, quick=configs("quick"), paper=configs("paper"), version=version, gib=1.5,
        minutes={"quick": 0.1, "paper": minutes},
        comparable={"quick": "other, smaller images; fewer attacks and iterations",
                    "paper": comparable})


def adaptive(seed: int) -> dict[tuple[str, str], store.Sweep]:
    """Ours: the attack in the span with labels known or inferred, seeing one round or three."""
    return {(strategy, rounds): _adaptive_of(strategy, rounds, seed)
            for strategy in settings.STRATEGIES for rounds in settings.SEES
            if strategy in settings.IN_SPAN_STRATEGIES or rounds == "one round"}


def _adaptive_of(strategy: str, rounds: str, seed: int) -> store.Sweep:
    _, loss = settings.STRATEGIES[strategy]

    def configs(profile: str) -> list[dict]:
        if profile == "quick" and rounds != "one round" and loss != "mse":
            return []
        knowing = settings.in_span_knowing(profile)
        attacks = [knowing[known] for known in settings.label_knowledge(strategy, rounds)]
        clients = settings.SPAN_CLIENTS[profile]
        return [settings.of_dense(profile, strategy, batch_size, attacks, clients, seed)
                | settings.SEES[rounds] for batch_size in settings.SPAN_BATCHES[profile]]

    name = f"adaptive_{settings.short(strategy)}_{rounds}".replace(" ", "_")
    return sweep(name, mixing, configs, "ours", 2, FULL_SPAN)


def trained(seed: int) -> Sweeps:
    """Ours: one trained victim for all clients, B = 4."""
    return {strategy: _trained_of(strategy, seed) for strategy in settings.LABEL_STRATEGIES}


def _trained_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        clients = {"quick": 6, "paper": 20}[profile]
        attacks = settings.noise_attacks(profile)
        return [_trained_config(profile, strategy, 4, attacks, clients, seed)]
    return sweep(f"trained_{settings.short(strategy)}", mixing, configs, "ours", 1)


def _trained_config(profile: str, strategy: str, batch_size: int, attacks: list[dict],
                    clients: int, seed: int) -> dict:
    config = settings.of_dense(profile, strategy, batch_size, attacks, clients, seed)
    config["victim"] = settings.DENSE | {"seed": seed}
    return config | {"train": {"epochs": 2, "batch_size": 32, "lr": 0.02}}


def trained_span(seed: int) -> Sweeps:
    """The attack in the span on the same victim, B = 4."""
    return {strategy: _trained_span_of(strategy, seed) for strategy in settings.LABEL_STRATEGIES}


def _trained_span_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        clients, attacks = settings.SPAN_CLIENTS[profile], [settings.in_span(profile)]
        return [_trained_config(profile, strategy, 4, attacks, clients, seed)]
    name = f"trained_span_{settings.short(strategy)}"
    return sweep(name, mixing, configs, "ours", 1, FULL_SPAN)


def noisy(seed: int) -> Sweeps:
    """What three attacks recover of a dense layer under noise, B = 4."""
    return {strategy: _noisy_of(strategy, seed) for strategy in settings.LABEL_STRATEGIES}


def _noisy_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        attacks = settings.noise_attacks(profile)
        clients = {"quick": 6, "paper": 20}[profile]
        return [settings.of_dense(profile, strategy, 4, attacks, clients, seed)
                | {"defense": defense} for defense in settings.gaussian(profile)]
    return sweep(f"noise_{settings.short(strategy)}", mixing, configs, "ours", 3)


def noisy_span(seed: int) -> Sweeps:
    """What the attack in the span recovers under the same noise."""
    return {strategy: _noisy_span_of(strategy, seed) for strategy in settings.LABEL_STRATEGIES}


def _noisy_span_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        clients, attacks = settings.SPAN_CLIENTS[profile], [settings.in_span(profile)]
        return [settings.of_dense(profile, strategy, 4, attacks, clients, seed)
                | {"defense": defense} for defense in settings.gaussian(profile)]
    name = f"noise_span_{settings.short(strategy)}"
    return sweep(name, mixing, configs, "ours", 2, FULL_SPAN)
