"""The reading process: `python -P -m dras_model.imaging.reading.child`.

It takes one request from its standard input, shuts itself in, reads one study or one mask or sorts files, answers
on its standard output and ends. What parses is imported behind the doors that it has shut; standard error ends
there, since libraries write on it what they find in files.
"""

import json
import mmap
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dras_model.imaging.reading.confinement import confine
from dras_model.imaging.reading.limits import Limits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dras_model.imaging.reading.messages import Message


def main() -> None:
    """Read what the request on standard input names."""
    request = json.loads(sys.stdin.buffer.readline())
    guards = confine(Limits(**request["limits"]), parent=request["parent"])
    from dras_model.imaging.reading.messages import Ready, encode  # noqa: PLC0415 - see the top

    out = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)

    def say(message: "Message") -> None:
        line = memoryview(encode(message))
        while line:
            line = line[os.write(out, line) :]

    say(Ready(guards=tuple(guards)))
    say(_answer(request, say))
    # Neither the interpreter's end nor a codec's can fail any more, and no buffer waits to be written.
    os._exit(0)


def _answer(request: dict[str, Any], say: "Callable[[Message], None]") -> "Message":
    """Read, and return what is to be said of it."""
    from dras_model.imaging.reading.messages import Defect, Refusal  # noqa: PLC0415 - see the top
    from dras_model.results.codes import Code  # noqa: PLC0415
    from dras_model.results.errors import Refused, StudyRefused  # noqa: PLC0415

    try:
        if "sort" in request:
            return _sort(request)
        if "members" in request:
            return _take_out(request)
        return _read_labels(request) if "grid" in request else _read(request, say)
    except Refused as refused:
        return Refusal.of(refused)
    except MemoryError:
        return Refusal.of(StudyRefused(Code.READER_LIMIT, what="memory"))
    except Exception as error:  # noqa: BLE001 - the border of the process: its text might quote the study
        frames = traceback.extract_tb(error.__traceback__)
        way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-6:])
        return Defect(where=f"{type(error).__name__} at {way}")


def _read(request: dict[str, Any], say: "Callable[[Message], None]") -> "Message":
    from dras_model.imaging.loading import load_header, load_study  # noqa: PLC0415 - see the top
    from dras_model.imaging.reading.crew import in_processes  # noqa: PLC0415
    from dras_model.imaging.reading.messages import Progress, Read, WarningMessage, printable  # noqa: PLC0415
    from dras_model.peak_memory import peak_rss_mb  # noqa: PLC0415

    source, series_uid = Path(request["source"]), request["series_uid"]
    scratch = request["scratch"] and Path(request["scratch"])
    digest, described = None, request["described"]
    if request["voxels"] is None:
        header = load_header(source, series_uid=series_uid, scratch=scratch, described=described)
    else:
        study = load_study(
            source,
            series_uid=series_uid,
            scratch=scratch,
            described=described,
            allocate=lambda shape: _shared(request["voxels"], shape),
            each=lambda work, n: in_processes(work, n, lambda fraction: say(Progress(fraction=fraction))),
        )
        header, digest = study.header, study.input_sha256
    return Read(
        series_uid=printable(header.series_uid),
        candidates=header.candidates,
        acquisition=header.acquisition,
        shape=header.grid.shape,
        affine=tuple(header.grid.affine.ravel().tolist()),
        warnings=tuple(WarningMessage.of(warning) for warning in header.warnings),
        peak_rss_mb=peak_rss_mb(),
        input_sha256=digest,
        source=header.source,
    )


def _read_labels(request: dict[str, Any]) -> "Message":
    import numpy as np  # noqa: PLC0415 - see the top

    from dras_model.imaging.given_mask import load_label_map  # noqa: PLC0415
    from dras_model.imaging.reading.messages import Labelled  # noqa: PLC0415
    from dras_model.imaging.volume import Grid  # noqa: PLC0415

    shape, affine = request["grid"]
    given = load_label_map(Path(request["source"]), Grid(tuple(shape), np.reshape(affine, (4, 4))))
    memory = mmap.mmap(request["voxels"], given.labels.size)
    np.frombuffer(memory, dtype=np.uint8).reshape(given.labels.shape)[:] = given.labels
    return Labelled()


def _sort(request: dict[str, Any]) -> "Message":
    from dras_model.imaging.reading.messages import FileSorted, FilesSorted, printable  # noqa: PLC0415 - see the top
    from dras_model.imaging.sorting import sort_files  # noqa: PLC0415

    found = sort_files([Path(path) for path in request["sort"]], Path(request["scratch"]))
    return FilesSorted(
        files=tuple(
            tuple(
                FileSorted(
                    members=item.members,
                    what=item.what,
                    study_uid=item.study_uid,
                    instance=printable(item.instance),
                )
                for item in items
            )
            for items in found
        )
    )


def _take_out(request: dict[str, Any]) -> "Message":
    from dras_model.imaging.reading.messages import TakenOut  # noqa: PLC0415 - see the top
    from dras_model.imaging.sorting import take_out  # noqa: PLC0415

    wanted = [tuple(members) for members in request["members"]]
    take_out(Path(request["source"]), wanted, Path(request["into"]), Path(request["scratch"]))
    return TakenOut()


def _shared(descriptor: int, shape: tuple[int, int, int]) -> "NDArray[np.float32]":
    """Lay an array of zeros over the memory that the parent will look at."""
    import numpy as np  # noqa: PLC0415 - see the top

    n_bytes = 4 * shape[0] * shape[1] * shape[2]
    os.ftruncate(descriptor, n_bytes)
    return np.frombuffer(mmap.mmap(descriptor, n_bytes), dtype=np.float32).reshape(shape)


if __name__ == "__main__":
    main()
