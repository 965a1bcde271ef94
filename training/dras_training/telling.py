"""Progress without a listener: what functions tell how far they are when nobody asked."""


def to_nobody(*_told: object) -> None:
    """Tell nobody, whatever there is to tell."""
