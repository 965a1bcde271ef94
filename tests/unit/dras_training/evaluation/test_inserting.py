"""Emphysema put into lungs, against plain counting in the scan before and after."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.volume import GeometryError
from dras_model.results.study import Region
from dras_training.evaluation.inserting import Host


@pytest.fixture(scope="module")
def healthy():
    """Slices of 5 mm, so that each averages four of the pattern's."""
    return make_phantom(PhantomSpec(seed=3, n_slices=60, matrix=96, noise_hu=12.0))


@pytest.fixture(scope="module")
def host(healthy):
    return Host.of(healthy.volume, healthy.truth.lungs)


@pytest.fixture(scope="module")
def low(host):
    return host.with_emphysema(Emphysema(EmphysemaKind.CENTRILOBULAR, 0.05, Region.RIGHT), seed=1)


def test_it_takes_the_asked_share_of_the_lung_and_lies_where_it_was_asked(healthy, low):
    labels = healthy.truth.lungs.labels
    assert low.emphysema.sum() == pytest.approx(0.05 * (labels > 0).sum(), rel=0.01)
    assert (labels[low.emphysema] == RIGHT).all()
    changed = low.volume.hu != healthy.volume.hu
    assert changed[labels == RIGHT].any()
    assert not changed[labels == LEFT].any()


def test_lost_voxels_are_as_low_as_a_phantom_s_and_keep_the_grain_of_the_scan(healthy, low):
    lost = low.emphysema & ~healthy.truth.vessels
    found = low.volume.hu[lost]
    assert -1010 < np.median(found) < -950
    before = healthy.volume.hu[lost] - np.median(healthy.volume.hu[lost])
    assert np.corrcoef(before, found)[0, 1] > 0.3  # the noise is the scan's


def test_vessels_stay(healthy, low):
    dense = healthy.truth.vessels & (healthy.volume.hu > -600)
    np.testing.assert_array_equal(low.volume.hu[dense], healthy.volume.hu[dense])


def test_paraseptal_emphysema_lies_nearer_to_the_pleura_than_panlobular(healthy, host):
    mm = distance_transform_edt(healthy.truth.lungs.labels > 0, healthy.volume.grid.spacing_mm)
    deep = {
        kind: (mm[host.with_emphysema(Emphysema(kind, 0.02), seed=2).emphysema] > 12.0).mean()
        for kind in (EmphysemaKind.PARASEPTAL, EmphysemaKind.PANLOBULAR)
    }
    assert deep[EmphysemaKind.PARASEPTAL] < 0.02 < 0.2 < deep[EmphysemaKind.PANLOBULAR]


def test_lungs_that_stand_on_their_head_are_refused(healthy):
    with pytest.raises(GeometryError, match="upwards"):
        Host.of(healthy.volume.oriented("LPI"), healthy.truth.lungs.oriented("LPI"))


def test_more_than_the_place_holds_is_refused(host):
    with pytest.raises(ValueError, match="asked for"):
        host.with_emphysema(Emphysema(EmphysemaKind.PANLOBULAR, 0.6, Region.APICAL), seed=1)
