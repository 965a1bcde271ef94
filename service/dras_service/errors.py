"""Why a process of the service does not start: one sentence with a stable code."""


class CannotServe(Exception):
    """The service does not start; `code` is stable, `str()` is one sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)
