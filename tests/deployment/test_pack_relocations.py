"""The oracle is the loader: it puts into the memory of a packed library what it puts into that of the wheel's."""

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from deployment.composing import ROOT

_SPEC = importlib.util.spec_from_file_location("pack_relocations", ROOT / "deploy/docker/pack_relocations.py")
assert _SPEC
assert _SPEC.loader
packing = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = packing  # where its data classes look themselves up
_SPEC.loader.exec_module(packing)
DYNAMIC, GNU_RELRO = 2, 0x6474E552  # the tags; and what nobody writes to once it is relocated
LOADED = """
import ctypes, json, sys
base = ctypes.cast(ctypes.CDLL(sys.argv[1])._handle, ctypes.POINTER(ctypes.c_size_t))[0]
print(json.dumps([ctypes.c_size_t.from_address(base + place).value - base for place in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def wheels() -> Path:
    found = importlib.util.find_spec("onnxruntime")
    assert found
    (path,) = Path(found.submodule_search_locations[0]).glob("capi/onnxruntime_pybind11_state.*.so")
    return path


def words(path: Path, places: list[int]) -> list[int]:
    """What stands at addresses of a library that was loaded, less where it was loaded to."""
    command = [sys.executable, "-c", LOADED, str(path)]
    done = subprocess.run(command, input=json.dumps(places), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_a_packed_library_is_smaller_and_every_pointer_of_it_points_where_it_did(wheels, tmp_path):
    library = packing.Library(wheels.read_bytes())
    fixed, tags = (
        range(-(-part.address // 8) * 8, part.address + part.in_file - 7, 8)
        for kind in (GNU_RELRO, DYNAMIC)
        for part in library.segments
        if part.kind == kind
    )
    places = [place for place in fixed if place not in tags]
    packed = tmp_path / wheels.name
    packed.write_bytes(packing.pack(wheels.read_bytes()))
    assert packed.stat().st_size < wheels.stat().st_size - packing.LEAST_BYTES
    pointers = [n for n, word in enumerate(words(wheels, places)) if 0 < word < packed.stat().st_size]
    assert len(pointers) > packing.LEAST_BYTES // 24
    places = [places[n] for n in pointers]
    assert words(packed, places) == words(wheels, places)


def test_what_is_packed_is_not_packed_again(wheels):
    with pytest.raises(packing.NotPacked, match="already"):
        packing.pack(packing.pack(wheels.read_bytes()))


def test_words_and_bitmaps_name_each_address_once():
    chosen = random.Random(0)
    places = sorted(8 * n for n in {*chosen.sample(range(10**5), 4000), *range(500), 63, 64, 10**6})
    found: list[int] = []
    base = 0
    for word in packing.bitmaps(places):  # as the gABI's draft of SHT_RELR reads them
        if word % 2 == 0:
            found.append(word)
            base = word + 8
        else:
            found += [base + 8 * n for n in range(63) if word >> n + 1 & 1]
            base += 63 * 8
    assert found == places


def test_what_is_no_library_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "script.so").write_bytes(b"INPUT(libz.so.1)")
    packing.main(tmp_path)
    assert (tmp_path / "script.so").read_bytes() == b"INPUT(libz.so.1)"
    assert "0 MB" in capsys.readouterr().out
