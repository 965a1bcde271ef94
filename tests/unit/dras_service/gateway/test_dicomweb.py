"""DICOMweb over the results: what is found, and what is no question."""

import pytest


@pytest.mark.parametrize(
    "address",
    [
        "/studies?offset=99999999999999999999",
        "/studies?StudyInstanceUID=%00",
        "/studies?StudyInstanceUID=1.2.3%00",
        "/studies?StudyInstanceUID=1.2.*",
        "/studies/%00/series",
        "/studies/1.2/series/%00/instances",
        "/workitems/%00",
    ],
)
def test_what_no_database_takes_is_refused_before_it_is_asked(client, address):
    answer = client.get(f"/dicom-web{address}")
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")
