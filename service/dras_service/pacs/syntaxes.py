"""What of DICOM is offered and taken on an association: SOP classes and the transfer syntaxes of CT.

Images are taken in whatever syntax they come in and are never changed; which of them can be decoded is the
business of `dras_model.imaging`, whose list this is held against by a test.
"""

from pynetdicom import AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context

CT_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
)
CT_SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.5",
)
# Nothing else is kept; that it is taken at all lets a study through whose sender gives up at the first refusal.
STORAGE_CLASSES = tuple(str(context.abstract_syntax) for context in AllStoragePresentationContexts)


def ct_contexts() -> list[PresentationContext]:
    """Return a context for each kind of CT image, with every syntax."""
    return [build_context(sop_class, list(CT_SYNTAXES)) for sop_class in CT_CLASSES]
