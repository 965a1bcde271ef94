"""A model bundle as a client sees it: a name to choose it by, and what its weights are."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

BundleName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)
]


class BundleView(BaseModel):
    """A bundle that every worker has proven before it took work."""

    model_config = ConfigDict(frozen=True)

    name: BundleName = Field(description="what `bundle` of an upload names", examples=["drasclr"])
    is_default: bool = Field(description="whether a job that names no bundle gets this one")
    training: str = Field(description="`untrained`, or what the weights were trained on")
    atlas: str
    n_patches: int
    embedding_size: int = Field(description="numbers a patch")
    signature: str = Field(description="`unsigned`, or who signed the bundle")
    licence: str
    intended_use: str
    sha256: str = Field(description="of the manifest, which lists every file; results carry it")
    max_difference: float = Field(description="largest |Δ| from the golden embeddings that was allowed")
    device: str = Field(examples=["cpu, 2 threads"])


class BundleList(BaseModel):
    """All bundles that a job may choose."""

    model_config = ConfigDict(frozen=True)

    bundles: tuple[BundleView, ...]
