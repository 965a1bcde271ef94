"""The ways in which many patches become one vector of a patient, by name; what they do is `representation`'s.

Named apart from it, so that a command can offer them without loading PyTorch.
"""

from typing import Literal, TypeAlias, get_args

Pooling: TypeAlias = Literal["mean", "regions", "learned", "moments", "patches"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
