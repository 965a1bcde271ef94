"""A recipe: everything that shapes the weights of one training, as one checked TOML file with an identity.

What does not shape them (where things lie, how many loader processes, how often something is written) has its
place in the section `run`, or on the command line, and is no part of the identity.
"""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dras_model.encoder.architecture import EncoderConfig
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.written import Unreadable, faults_of, parse_toml

SUFFIX = ".toml"


class Section(BaseModel):
    """Base of all sections: immutable, closed to unknown keys, finite numbers of the type they are written in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class Data(Section):
    """What is trained on."""

    description: str = Field(min_length=1, max_length=200, description="told by every bundle made of it")
    atlas: str = Field("builtin", description="name or path of the atlas whose corners are the locations")
    location_step: int = Field(1, ge=1, description="train every n-th location of the atlas only")


class Phantoms(Section):
    """An invented cohort, for a recipe that needs no patients."""

    count: int = Field(ge=2)
    scans: int = Field(1, ge=1, description="of each person: another breath, kernel, noise and thickness")
    seed: int = Field(0, ge=0)
    n_slices: int = Field(80, ge=40)
    matrix: int = Field(128, ge=64)


class Contrast(Section):
    """The losses, the queues and the key encoder (Yu et al. 2024, section 3)."""

    temperature: float = Field(0.2, gt=0)
    key_momentum: float = Field(0.999, ge=0, lt=1)
    queue: int = Field(4096, ge=1, description="keys of each location")
    neighbours: int = Field(2, ge=0, description="R, nearest locations by atlas distance; 0: local loss only")
    beta: float = Field(1.0, ge=0, description="weight of the neighbouring loss")
    first_keys: Literal["random", "none"] = Field(
        "random", description="what a new queue holds: unit vectors drawn at random, as released, or nothing"
    )
    batch_keys: bool = Field(
        True, description="the batch's other keys are negatives, too: the queue's are older (decision 0041)"
    )
    conditioned: bool = Field(
        True, description="negatives are of the query's location; else of all, in one queue (plain MoCo)"
    )
    mask_own: bool = Field(
        False, description="leave keys of the query's own person out of the negatives (small cohorts)"
    )
    other_scan: float = Field(
        0.0, ge=0, le=1, description="how often a key is of another scan of the person, where there is one"
    )


class Augmentation(Section):
    """Random views of a patch; probabilities are per patch, intensities in HU."""

    translation_voxels: float = Field(12.0, ge=0)
    rotation_degrees: float = Field(10.0, ge=0)
    scale: float = Field(0.1, ge=0, lt=1)
    noise_hu: float = Field(50.0, ge=0)
    noise_probability: float = Field(0.25, ge=0, le=1)
    noise_lowest_hu: float | None = Field(
        None, ge=0, description="of a standard deviation drawn from here up to noise_hu; else it is noise_hu"
    )
    gamma_low: float = Field(0.5, gt=0)
    gamma_high: float = Field(4.5, gt=0)
    gamma_probability: float = Field(0.25, ge=0, le=1)
    flip_probability: float = Field(0.0, ge=0, le=1, description="of mirroring along each axis by itself")
    elastic_voxels: float = Field(0.0, ge=0, description="standard deviation of the displacement of a node")
    elastic_nodes: int = Field(4, ge=2, le=16, description="nodes of the displacement along each axis")
    density: float = Field(0.0, ge=0, lt=1, description="most change of density above air, as by a breath")
    offset_hu: float = Field(0.0, ge=0, description="most that is added to a view, as by calibration")
    sharpness_probability: float = Field(0.0, ge=0, le=1, description="of another kernel and thickness")
    sharpness: float = Field(0.6, ge=0, description="most gain of detail; the least is its loss")
    sharpness_voxels: float = Field(2.5, gt=0, description="widest Gaussian that tells detail from the rest")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.gamma_low > self.gamma_high:
            raise ValueError("gamma_low lies above gamma_high")
        return self


class Normalisation(Section):
    """BatchNorm in training. `group` patches of one location share their statistics, on however many devices."""

    kind: Literal["batch", "running"] = Field(
        "running",
        description="what a patch is normalised by: its group, as released, or what evaluation will use",
    )
    group: int = Field(32, ge=2)
    momentum: float = Field(0.1, gt=0, le=1, description="share of a step in the running statistics")
    warm_up_steps: int = Field(1000, ge=1, description="until `running` may correct a group at will")
    shuffle_keys: bool = Field(True, description="deal the keys to other groups than their queries")


class Optimisation(Section):
    """The optimiser and its schedule."""

    seed: int = Field(0, ge=0)
    epochs: int = Field(ge=1, description="visits to every location of every subject")
    most_steps: int | None = Field(
        None, ge=1, description="end, and the schedule with it, after so many steps"
    )
    batch: int = Field(ge=2, description="subjects in a step, over all processes")
    accumulate: int = Field(1, ge=1, description="parts that a batch is computed in")
    learning_rate: float = Field(0.01, gt=0)
    warm_up_steps: int = Field(0, ge=0, description="of the learning rate, from 0")
    anneal: Literal["step", "epoch"] = Field("step", description="when the cosine takes its next value")
    optimiser: Literal["sgd", "adamw"] = Field("sgd", description="sgd as published; adamw for few steps")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd; the first of the two of adamw")
    weight_decay: float = Field(1e-4, ge=0)
    precision: Literal["float32", "bfloat16"] = "float32"


class Run(Section):
    """How the training is run; no part of the recipe's identity."""

    workers: int = Field(2, ge=0, description="loader processes for each training process")
    log_steps: int = Field(10, ge=1)
    checkpoint_steps: int = Field(500, ge=1)


class Recipe(Section):
    """The whole file."""

    schema_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")
    licence: str = Field(min_length=1, description="of the weights")
    data: Data
    phantoms: Phantoms | None = None
    encoder: EncoderConfig = EncoderConfig()
    contrast: Contrast = Contrast()
    augmentation: Augmentation = Augmentation()
    normalisation: Normalisation = Normalisation()
    optimisation: Optimisation
    run: Run = Run()

    @model_validator(mode="after")
    def _parts_divide_the_batch(self) -> Self:
        unit = self.optimisation.accumulate * self.normalisation.group
        if self.optimisation.batch % unit:
            raise ValueError(
                f"a batch of {self.optimisation.batch} is no multiple of accumulate × normalisation.group = {unit}"
            )
        return self

    @property
    def sha256(self) -> str:
        """The identity: of every value that shapes the weights, written out or not."""
        return hashlib.sha256(self.model_dump_json(exclude={"run"}).encode()).hexdigest()


def load_recipe(choice: str | Path) -> Recipe:
    """Read a recipe by path, or one that comes with the product by its name. Raises SetupRefused RECIPE_INVALID."""
    path = Path(choice)
    try:
        if not path.exists() and (named := shipped().get(path.name.removesuffix(SUFFIX))) is not None:
            return parse_recipe(named, name=path.name)
        content = path.read_text("utf-8")
    except OSError as fault:
        known = ", ".join(sorted(shipped()))
        reason = f"{fault.strerror or 'it cannot be read'}; recipes that come with dras are {known}"
    except UnicodeDecodeError:
        reason = "it is no text"
    else:
        return parse_recipe(content, name=path.name)
    raise SetupRefused(Code.RECIPE_INVALID, name=path.name, reason=reason)


def parse_recipe(content: str, *, name: str) -> Recipe:
    """Read the text of a recipe. Raises SetupRefused RECIPE_INVALID, naming the key at fault."""
    try:
        return parse_toml(content, Recipe)
    except Unreadable as fault:
        raise SetupRefused(Code.RECIPE_INVALID, name=name, reason=str(fault)) from fault


def parse_recipe_json(content: str, *, name: str) -> Recipe:
    """Read what `Recipe.model_dump_json` wrote. Raises SetupRefused RECIPE_INVALID."""
    try:
        return Recipe.model_validate_json(content)
    except ValidationError as fault:
        raise SetupRefused(Code.RECIPE_INVALID, name=name, reason=faults_of(fault)[0]) from fault


def shipped() -> dict[str, str]:
    """Return the text of the recipes that come with the product, by name."""
    folder = resources.files("dras_training") / "recipes"
    return {
        entry.name.removesuffix(SUFFIX): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(SUFFIX)
    }
