"""Every defense of the house, and the attacker who adapts to it.

An entry a defense of `describe.DEFENSES` and `describe.OF_THE_MODEL`, none left out (a test walks
them). Where both attackers were run on one set of networks here, the entry holds what differs from
the undefended laboratory; where other pages stored the attack, it says which; where none was
computed, why.
"""

from dataclasses import dataclass, field

HEAD = ["7."]  # LeNet's last dense layer, and what PRECODE puts in its place
SMOOTHER = {"tv": 0.1}  # ten times the total variation: fixed before the runs
MASKED = {"masked": True}


@dataclass(frozen=True)
class Arm:
    """One strength of a defense. kind: its name in `describe`. title: as tables name it. attacker:
    what the adaptive one does, in words. client: what the config of the client holds. adaptive:
    what the config of the adaptive attacker holds besides; its `attack` differs from the grid's.
    stored: the page whose stored cells have both attackers instead; why: why nothing is computed.
    """

    kind: str
    title: str
    attacker: str
    client: dict = field(default_factory=dict)
    adaptive: dict = field(default_factory=dict)
    stored: str = ""
    why: str = ""

    @property
    def is_run(self) -> bool:
        return bool(self.client)


def _defended(kind: str, **arguments) -> dict:
    return {"defense": {"name": kind} | arguments}


ARMS = {
    "noise": Arm("gaussian", "normal noise, variance 1e-3", "more total variation",
                 _defended("gaussian", variance=1e-3), {"attack": SMOOTHER}),
    "laplacian": Arm("laplacian", "Laplacian noise, variance 1e-3", "more total variation",
                     _defended("laplacian", variance=1e-3), {"attack": SMOOTHER}),
    "precision": Arm("precision", "8-bit integers", "none needed where the plain attack works",
                     _defended("precision", format="int8")),
    "prune_70": Arm("prune", "GradPrune 0.7", "skips the zeros",
                    _defended("prune", p=0.7), {"attack": MASKED}),
    "prune_90": Arm("prune", "GradPrune 0.9", "skips the zeros",
                    _defended("prune", p=0.9), {"attack": MASKED}),
    "dpsgd": Arm("dpsgd", "DP-SGD, clip 1, noise multiplier 0.01", "more total variation",
                 _defended("dpsgd", clip=1.0, noise_multiplier=0.01), {"attack": SMOOTHER}),
    "soteria": Arm("soteria", "Soteria, 0.8 of the features", "leaves the defended layer out",
                   _defended("soteria", p=0.8), {"omit": HEAD}),
    "soteria_zeros": Arm("soteria", "Soteria, 0.8 of the features", "skips the zeros",
                         _defended("soteria", p=0.8), {"attack": MASKED}),
    "precode": Arm("precode", "PRECODE, width 256", "leaves out what is random",
                   {"precode": {"width": 256}}, {"omit": HEAD}),
    "equal_labels": Arm("equal_labels", "equal labels", "searches in the span, scaled objective",
                        stored="06_mixing_gradients"),
    "mixup": Arm("mixup", "MixUp 4", "knows the keys, four epochs", stored="05_huang_evaluation"),
    "instahide": Arm("instahide", "InstaHide 4", "knows the keys, one epoch",
                     stored="05_huang_evaluation"),
}


def plain_of(name: str) -> str:
    """The arm whose sweep has the plain attack of an arm: one a defense and strength."""
    same = [other for other, arm in ARMS.items() if arm.client == ARMS[name].client]
    return same[0]
