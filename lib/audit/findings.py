"""What an audit found."""

import math
from dataclasses import dataclass, field

from torch import Tensor

from ..attack import Attack


@dataclass(frozen=True)
class Attempt:
    """One way of attack and what it found: images (B, C, H, W) in [0, 1], labels (B,).

    residual: how far the update of what was found is from the client's, as a share (`residual` of
    `attempts`); agreement: PSNR in dB between the pictures of the best two starts,
    NaN where there are not two that did not fail; attack: with the iterations that it had, None for
    a closed form; restarts: how many starts; ended: why they ended, a word each; cut: what ended
    the search before its last iteration, "time" or "interrupted", or empty. note: why it was not
    tried, or empty.
    """

    name: str
    images: Tensor | None = None
    labels: Tensor | None = None
    residual: float = math.nan
    agreement: float = math.nan
    attack: Attack | None = None
    restarts: int = 1
    ended: tuple[str, ...] = ()
    cut: str = ""
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """An attempt against the private images: means over the images; gain: PSNR above that of the
    best flat colour, in dB."""

    name: str
    psnr: float
    ssim: float
    stlpips: float
    avd: float
    gain: float


@dataclass
class Findings:
    """What was found of one client's update, and, where its images are known, how near that comes.
    """

    labels: dict[str, list[int]] = field(default_factory=dict)  # rule -> labels that it read
    steady: bool = False  # do the rules read the same under the noise that the update itself shows
    refused: dict[str, str] = field(default_factory=dict)  # rule -> what it would need
    flats: dict[str, float] = field(default_factory=dict)  # a flat colour -> its residual
    attempts: list[Attempt] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)
    truth_residual: float = math.nan  # of the private images themselves: 0 where all was told right
    defended: list[tuple[str, Measured]] = field(default_factory=list)  # the best attempt under it
    left_out: dict[str, str] = field(default_factory=dict)  # part of the audit -> why
    interrupted: bool = False

    @property
    def tried(self) -> bool:
        """Was any way of attack tried to the end of its first step?"""
        return any(not attempt.note for attempt in self.attempts)

    @property
    def best(self) -> Attempt | None:
        """The attempt whose update is nearest to the client's."""
        tried = [attempt for attempt in self.attempts if math.isfinite(attempt.residual)]
        return min(tried, key=lambda attempt: attempt.residual, default=None)
