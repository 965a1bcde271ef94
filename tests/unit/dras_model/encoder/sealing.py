"""Changing a bundle as somebody with a reason to would."""

from pathlib import Path

from dras_model.encoder.bundle import SUMS, digests, sums


def reseal(path: Path) -> None:
    """Make SHA256SUMS fit what lies in the folder."""
    (path / SUMS).unlink(missing_ok=True)
    contents = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    (path / SUMS).write_bytes(sums(digests(contents)))
