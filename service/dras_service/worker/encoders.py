"""The encoders of a worker: one a bundle that is offered, opened when a job asks for it, kept while there is room.

Opening checks every hash and runs the golden vectors, so that no study is encoded by a bundle that was not
proven in this very process. The imaging stack is imported only here and only when it is needed.
"""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.settings import WorkerSettings

if TYPE_CHECKING:
    from dras_model.encoder.bundle import Bundle
    from dras_model.encoder.runtime import Encoder
    from dras_model.imaging.atlas import Atlas

_MEGABYTE = 1 << 20
_WORKING_MEMORY_MB = 600  # above the weights: what the encoder's benchmark holds it to


class Opened(NamedTuple):
    """An encoder, the atlas it belongs to, and what both are charged of the room."""

    atlas: "Atlas"
    encoder: "Encoder"
    charge_mb: float


class Encoders:
    """Opens by name, None for the default; the least recently used leave when the room is full."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._choices: dict[str | None, str | None] = {None: settings.bundle}
        if settings.bundle is not None:
            self._choices[Path(settings.bundle).name] = settings.bundle
        self._choices |= {Path(choice).name: choice for choice in settings.offered}
        self._opened: OrderedDict[str | None, Opened] = OrderedDict()
        self._weights: dict[str | None, tuple[Atlas, Bundle]] = {}

    @property
    def choices(self) -> tuple[str | None, ...]:
        """The settings' own words for each bundle, the default one first."""
        return tuple(dict.fromkeys(self._choices.values()))

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where all of them run."""
        return self._settings.device

    def open(self, name: str | None = None) -> Opened:
        """Return the atlas and the encoder of a bundle, proven. Raises SetupRefused."""
        choice = self._choice(name)
        if choice not in self._opened:
            atlas, bundle = self._load(choice)
            charge_mb = self._charge_mb(bundle)
            self._make_room(charge_mb)
            self._opened[choice] = Opened(atlas, self._start(bundle), charge_mb)
        self._opened.move_to_end(choice)
        return self._opened[choice]

    def weights(self, name: str | None = None) -> "tuple[Atlas, Bundle]":
        """Return the atlas and the weights of a bundle, checked but not opened on a device. Raises SetupRefused."""
        choice = self._choice(name)
        if choice not in self._weights:
            self._weights[choice] = self._load(choice)
        return self._weights[choice]

    def _choice(self, name: str | None) -> str | None:
        if name not in self._choices:
            # The default bundle of an atlas is called by its folder, which is known once it was found.
            if self.weights()[1].path.name != name:
                raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(name))
            name = None
        return self._choices[name]

    def _load(self, choice: str | None) -> "tuple[Atlas, Bundle]":
        from dras_model.library import open_weights  # noqa: PLC0415 - see the top

        # The atlas of the settings is the default bundle's; any other bundle brings its own.
        return open_weights(choice, self._settings.atlas if choice == self._settings.bundle else None)

    def _charge_mb(self, bundle: "Bundle") -> float:
        graph = bundle.path / bundle.manifest.graph_on(self._settings.device).file
        return graph.stat().st_size / _MEGABYTE + _WORKING_MEMORY_MB

    def _start(self, bundle: "Bundle") -> "Encoder":
        from dras_model.encoder.runtime import Encoder  # noqa: PLC0415 - see the top

        return Encoder.open(bundle, device=self._settings.device, threads=self._settings.threads)

    def _make_room(self, charge_mb: float) -> None:
        """Let go of the least recently used first; what a job needs now is opened in any case."""
        while self._opened and charge_mb + self._charged_mb > self._settings.encoders_mb:
            self._opened.popitem(last=False)

    @property
    def _charged_mb(self) -> float:
        return sum(opened.charge_mb for opened in self._opened.values())
