"""A disk that is really full, under a preparation and under a training: one sentence, and the next call goes on."""

from concurrent.futures import Future

import numpy as np
import pytest

from dras_model.encoder.calibration import textures
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training import prepare as preparing
from dras_training.cases import Case
from dras_training.checkpoint import CHECKPOINT
from dras_training.prepare import Summary, prepare_store
from dras_training.pretrain import pretrain
from dras_training.store import PatchStore
from small_disk import Filler, mounted
from unit.dras_training.test_pretrain import assert_same, state


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, size_mb=32) as small:
        yield small


class _HereAndNow:
    """Cases in this process, their patches textures: everything but the images is real."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def shutdown(self, **_):
        pass

    def submit(self, _, case, slot):
        done = Future()
        store, atlas = preparing._KEPT[0]
        try:
            store.write(slot, textures(len(atlas.corners), seed=slot))
            done.set_result(preparing._Cut(case.subject * 64, np.ones(len(atlas.corners), dtype=np.bool_)))
        except OSError as fault:
            done.set_exception(fault)
        return done


def test_a_preparation_keeps_what_is_whole_and_goes_on(disk, few_corners, monkeypatch):
    store = PatchStore.create(disk / "store", few_corners, slots=9)
    preparing._keep(store, few_corners)
    monkeypatch.setattr(preparing, "ProcessPoolExecutor", _HereAndNow)
    cases = [Case(name, disk) for name in "1234"]
    assert prepare_store(cases[:2], store, few_corners, processes=1).stored == 2
    filler = Filler(disk)
    filler.fill()
    with pytest.raises(SetupRefused) as refused:
        prepare_store(cases, store, few_corners, processes=1)
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert "No space left" in str(refused.value)
    filler.remove()
    again = PatchStore.open(store.path, few_corners)
    assert prepare_store(cases, again, few_corners, processes=1) == Summary(stored=2, refused=0, already=2)
    for subject in range(4):
        everywhere = range(len(few_corners.corners))
        np.testing.assert_array_equal(
            again.read(everywhere, (subject,))[0], textures(len(everywhere), seed=subject)
        )


def test_a_training_keeps_its_last_checkpoint_and_goes_on_to_the_same_weights(
    disk, store, recipe, few_corners, tmp_path
):
    run, undisturbed = disk / "run", tmp_path / "undisturbed"
    pretrain(recipe, store, few_corners, run, until=2)
    last = (run / CHECKPOINT).read_bytes()
    filler = Filler(disk)
    filler.fill()
    with pytest.raises(SetupRefused) as refused:
        pretrain(recipe, store, few_corners, run, until=4)
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert "No space left" in str(refused.value)
    assert (run / CHECKPOINT).read_bytes() == last
    filler.remove()
    assert pretrain(recipe, store, few_corners, run, until=4).step == 4
    pretrain(recipe, store, few_corners, undisturbed, until=4)
    assert_same(state(undisturbed), state(run))
