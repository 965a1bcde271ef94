import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import zarr

from dras_model.outputs.quantities import FEATURE_QUANTITIES
from dras_model.outputs.zarr_store import write_zarr
from dras_model.results.study import StudyResult
from unit.dras_model.outputs.invented import N_PATCHES, features


def test_every_array_comes_back_with_its_unit_its_axes_and_in_one_chunk(
    result: StudyResult, tmp_path: Path
) -> None:
    write_zarr(tmp_path / "features.zarr", features(), result)
    group = zarr.open_group(tmp_path / "features.zarr", mode="r")
    assert set(group.array_keys()) == set(features().columns()) == set(FEATURE_QUANTITIES)
    for name, expected in features().columns().items():
        array = group[name]
        np.testing.assert_array_equal(array[...], expected)
        assert (array.dtype, array.chunks) == (expected.dtype, expected.shape)
        assert array.attrs["units"] == FEATURE_QUANTITIES[name].unit
        assert array.metadata.dimension_names[0] == "patch"
    assert group.attrs["provenance"]["input_sha256"] == "2" * 64


def test_a_chunk_is_what_zstandard_makes_of_the_bytes_and_metadata_is_json(
    result: StudyResult, tmp_path: Path
) -> None:
    """Read without Zarr: the format is a folder of JSON and of compressed bytes."""
    write_zarr(tmp_path / "features.zarr", features(), result)
    place = tmp_path / "features.zarr" / "embeddings"
    told = json.loads((place / "zarr.json").read_text())
    assert (told["zarr_format"], told["shape"]) == (3, [N_PATCHES, 5])
    content = (place / "c" / "0" / "0").read_bytes()
    plain = pa.Codec("zstd").decompress(content, decompressed_size=features().embeddings.nbytes)
    np.testing.assert_array_equal(np.frombuffer(plain, "<f4").reshape(N_PATCHES, 5), features().embeddings)


def test_equal_content_gives_equal_files(result: StudyResult, tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_zarr(tmp_path / name, features(), result)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 1 + 2 * len(FEATURE_QUANTITIES)
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
