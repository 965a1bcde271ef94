"""Tenants, keys, webhooks and bundles: what is written is read, and only by whom it belongs to."""

import pytest

from dras_service.api.jobs import JobState
from dras_service.store.errors import UnknownTenant
from unit.dras_service.examples import bundle_view


def test_the_default_tenant_is_always_there_and_others_are_created_once(store):
    assert [tenant.name for tenant in store.tenants.all()] == ["default"]
    assert store.tenants.create("radiology")
    assert not store.tenants.create("radiology")
    assert [tenant.name for tenant in store.tenants.all()] == ["default", "radiology"]
    assert store.tenants.find("nobody") is None


def test_a_quota_is_set_kept_and_lifted(store):
    store.tenants.set_quotas("default", {"max_queued_jobs": 5, "uploads_per_minute": 60})
    store.tenants.set_quotas("default", {"max_queued_jobs": None})
    found = store.tenants.find("default")
    assert (found.max_queued_jobs, found.uploads_per_minute) == (None, 60)
    with pytest.raises(UnknownTenant):
        store.tenants.set_quotas("nobody", {"max_queued_jobs": 5})
    with pytest.raises(KeyError):
        store.tenants.set_quotas("default", {"name": 5})


def test_a_key_is_found_by_its_public_id_until_the_end_and_says_that_it_was_revoked(store, clock):
    store.tenants.create("other")
    key = store.keys.add(
        "k1", "0" * 64, tenant="default", label="scanner", scopes=("submit", "read"), expires_at=5000.0
    )
    assert store.keys.find("k1") == key
    assert (key.scopes, key.expires_at, key.revoked_at) == (("submit", "read"), 5000.0, None)
    assert not store.keys.revoke("k1", tenant="other")
    clock.now += 1
    assert store.keys.revoke("k1", tenant="default")
    assert not store.keys.revoke("k1", tenant="default")
    assert store.keys.find("k1").revoked_at == 1001.0
    assert store.keys.find("k2") is None


def test_keys_are_listed_for_a_tenant_or_for_all_and_remember_their_use(store, clock):
    store.tenants.create("other")
    for name, tenant in (("a", "default"), ("b", "other")):
        store.keys.add(name, "0" * 64, tenant=tenant, label="", scopes=())
        clock.now += 1
    assert [key.id for key in store.keys.all()] == ["a", "b"]
    assert [key.id for key in store.keys.all(tenant="other")] == ["b"]
    store.keys.used("a", tenant="default")
    store.keys.used("b", tenant="default")
    assert (store.keys.find("a").last_used_at, store.keys.find("b").last_used_at) == (1002.0, None)


def test_a_webhook_is_its_tenants_alone(store):
    store.tenants.create("other")
    hook = store.webhooks.add("https://a/", tenant="default", secret="s", states=[JobState.FAILED])
    assert hook.states == {JobState.FAILED}
    assert store.webhooks.find(hook.id, tenant="default") == hook
    assert store.webhooks.find(hook.id, tenant="other") is None
    assert not store.webhooks.disable(hook.id, tenant="other")
    assert store.webhooks.disable(hook.id, tenant="default")
    assert not store.webhooks.disable(hook.id, tenant="default")
    assert [each.disabled_at for each in store.webhooks.all(tenant="default")] == [1000.0]


def test_what_the_last_worker_has_proven_is_offered_in_its_order(store):
    assert store.bundles.offered() == ()
    first, second, third = (bundle_view(name) for name in ("z", "a", "m"))
    store.bundles.offer((first, second))
    assert store.bundles.offered() == (first, second)
    store.bundles.offer((third, first))
    assert store.bundles.offered() == (third, first)
