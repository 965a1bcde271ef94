from unit.dras_service.examples import claim_of, outputs_of, stored_study, study_result, submit


def test_a_study_is_nobodys_where_no_row_speaks_of_it_or_it_was_purged(store):
    job = submit(store)
    keys = [job.study_key, "default/unknown", "other/unknown"]
    assert list(store.orphans.studies(keys)) == ["default/unknown", "other/unknown"]
    store.ending.cancel(job.id, tenant="default")
    store.ending.purge(job.id, tenant="default")
    store.ending.clear_studies(lambda _key: None)
    assert list(store.orphans.studies(keys)) == keys


def test_outputs_are_nobodys_where_no_result_has_them_and_no_worker_is_about_to_commit_them(store, clock):
    committed, running = claim_of(store), claim_of(store)
    store.leases.commit(committed, study_result(), outputs=outputs_of(committed))
    keys = [f"{committed.job_id}-1", f"{committed.job_id}-2", f"{running.job_id}-1", "no-such-job-1"]
    assert list(store.orphans.outputs(keys)) == [f"{committed.job_id}-2", "no-such-job-1"]
    store.leases.reject(running, code="NOT_DICOM", message="")
    assert f"{running.job_id}-1" in set(store.orphans.outputs(keys))


def test_more_than_one_block_is_gone_through(store):
    known = submit(store).study_key
    keys = [*(f"default/{number}" for number in range(1200)), known]
    assert len(list(store.orphans.studies(keys))) == 1200
    assert stored_study().key == known
