import pytest
from starlette.testclient import TestClient

from dras_service.errors import CannotServe
from dras_service.gateway.app import create_app
from dras_service.gateway.auth.binding import check_binding, guarded
from dras_service.settings import (
    AuthenticationSettings,
    GatewaySettings,
    ObservabilitySettings,
    Settings,
)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", ""])
def test_without_authentication_only_loopback_is_bound_and_with_it_anything(host):
    settings = Settings(gateway=GatewaySettings(host=host))
    with pytest.raises(CannotServe) as refusal:
        check_binding(settings)
    assert refusal.value.code == "INSECURE_BIND"
    check_binding(settings.model_copy(update={"authentication": AuthenticationSettings(required=True)}))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.1"])
def test_loopback_is_bound_without_authentication(host):
    check_binding(Settings(gateway=GatewaySettings(host=host)))


def test_the_port_of_metrics_is_bound_on_loopback_only():
    observability = ObservabilitySettings(metrics_port=9000, metrics_host="0.0.0.0")
    with pytest.raises(CannotServe):
        check_binding(Settings(observability=observability))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8042", 200),
        ("localhost", 200),
        ("[::1]:8042", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example:8042", 400),
        ("", 400),
    ],
)
def test_a_page_of_elsewhere_reads_nothing_from_an_open_service(parts, host, status):
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings)
    client = TestClient(guarded(app, parts.settings))
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == status
