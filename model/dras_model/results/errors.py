"""The one error of the domain: a code with its fields; the text is rendered from them.

Refused
├── StudyRefused     this study gets no result (Kind.REFUSAL)
└── SetupRefused     a bundle, an atlas or an output place is wrong (Kind.SETUP)
"""

from dras_model.results.codes import CODES, Code, Kind, render


class Refused(Exception):
    """A rule says no. `code` is stable, `fields` carry the evidence, `str()` is one sentence."""

    kind: Kind

    def __init__(self, code: Code, **fields: str | int | float) -> None:
        if CODES[code].kind is not self.kind:
            raise TypeError(f"{code} is a {CODES[code].kind}, {type(self).__name__} needs a {self.kind}")
        self.code = code
        self.fields = fields
        super().__init__(render(code, fields))

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.code, self.fields))


class StudyRefused(Refused):
    """The study gets no result; no embedding or score was made."""

    kind = Kind.REFUSAL


class SetupRefused(Refused):
    """A bundle, an atlas or an output place is at fault, not the study."""

    kind = Kind.SETUP


def _rebuild(cls: type[Refused], code: Code, fields: dict[str, str | int | float]) -> Refused:
    return cls(code, **fields)
