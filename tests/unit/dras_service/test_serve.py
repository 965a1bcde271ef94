import pytest

from dras_service.errors import CannotServe
from dras_service.serve import serve
from dras_service.settings import GatewaySettings, Settings
from dras_service.supervisor import _without_settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "127.0.0.1.example.org", ""])
def test_nothing_but_loopback_is_bound(tmp_path, host):
    settings = Settings(data=tmp_path, gateway=GatewaySettings(host=host))
    with pytest.raises(CannotServe) as refusal:
        serve(settings, announce=print)
    assert refusal.value.code == "INSECURE_BIND"
    assert list(tmp_path.iterdir()) == []


def test_a_worker_reads_only_the_settings_it_is_given():
    around = {"DRAS_WORKER__BUNDLE": "x", "DRAS_LIBRARY": "/lib", "PATH": "/bin", "OTHER__NAME": "y"}
    assert _without_settings(around) == {"DRAS_LIBRARY": "/lib", "PATH": "/bin", "OTHER__NAME": "y"}
