"""What goes wrong between us and another system, in one form for DICOMweb and DIMSE."""


class PeerFailed(Exception):
    """A system cannot be reached, answers with an error, or what it sends is of no use.

    `str()` is one sentence without a word of the other's; `may_pass` says whether it is worth trying again.
    """

    def __init__(self, sentence: str, *, may_pass: bool = True) -> None:
        super().__init__(sentence)
        self.may_pass = may_pass
