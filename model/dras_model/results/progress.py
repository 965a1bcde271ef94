"""How a running study tells where it is: a callable taking the stage and the fraction of it done."""

from collections.abc import Callable
from typing import TypeAlias

from dras_model.results.study import Stage

Report: TypeAlias = Callable[[Stage, float], None]


def silent(stage: Stage, fraction: float) -> None:
    """Report to nobody."""
