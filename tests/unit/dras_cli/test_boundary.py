import click
import pytest

from dras_cli.boundary import EXIT_CODES, explain
from dras_client import errors
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.api.problems import Problem, ProblemCode
from dras_service.errors import CannotServe


def problem(kind, code, *, study_code=None):
    document = Problem.of(code, {"message": "No.", "state": "queued", "offered": "a"}, study_code=study_code)
    return kind(document.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StudyRefused(Code.NOT_DICOM, n_files=1), 3, "NOT_DICOM"),
        (SetupRefused(Code.BUNDLE_NOT_FOUND, name="x"), 4, "BUNDLE_NOT_FOUND"),
        (CannotServe("INSECURE_BIND", "No."), 4, "INSECURE_BIND"),
        (problem(errors.StudyRejected, ProblemCode.STUDY_REJECTED, study_code="NOT_HU"), 3, "NOT_HU"),
        (problem(errors.JobFailed, ProblemCode.JOB_FAILED, study_code="INTERNAL"), 5, "INTERNAL"),
        (problem(errors.UploadRefused, ProblemCode.EMPTY_UPLOAD), 3, "EMPTY_UPLOAD"),
        (problem(errors.AccessRefused, ProblemCode.UNAUTHENTICATED), 4, "UNAUTHENTICATED"),
        (problem(errors.ProblemError, ProblemCode.INTERNAL), 5, "INTERNAL"),
        (problem(errors.UnknownBundle, ProblemCode.UNKNOWN_BUNDLE), 4, "UNKNOWN_BUNDLE"),
        (errors.SourceUnreadable("gone"), 3, "NOT_FOUND"),
        (errors.InvalidAddress("ftp"), 2, "INVALID_ADDRESS"),
        (errors.ServiceUnreachable("away"), 5, "SERVICE_UNREACHABLE"),
        (errors.TimedOut("slow"), 5, "TIMED_OUT"),
        (errors.WaitTimedOut("slow"), 5, "WAIT_TIMED_OUT"),
        (errors.UnexpectedAnswer("html"), 5, "UNEXPECTED_ANSWER"),
        (click.UsageError("what?"), 2, "USAGE"),
        (click.FileError("a", "gone"), 4, "NOT_READABLE"),
        (KeyboardInterrupt(), 130, "INTERRUPTED"),
        (click.Abort(), 130, "INTERRUPTED"),
        (ValueError("Doe^Jane"), 1, "DEFECT"),
        (OSError("Doe^Jane"), 1, "DEFECT"),
    ],
    ids=repr,
)
def test_every_kind_of_error_has_its_status_and_code(error, status, code):
    failure = explain(error)
    assert (failure.exit_status, failure.code) == (status, code)


def test_every_error_of_the_sdk_is_sorted_and_none_is_taken_for_a_defect():
    for name, found in vars(errors).items():
        if isinstance(found, type) and issubclass(found, errors.DrasClientError):
            is_problem = issubclass(found, errors.ProblemError)
            error = problem(found, ProblemCode.JOB_NOT_FOUND) if is_problem else found("sentence")
            assert explain(error).exit_status in {2, 3, 4, 5}, name


def test_a_defect_is_named_with_its_place_but_without_its_text():
    with pytest.raises(ValueError, match="Doe") as caught:
        int("Doe^Jane")
    message = explain(caught.value).message
    assert "ValueError at test_boundary.py:" in message
    assert "Doe" not in message


def test_the_help_lists_every_status():
    for status in (0, 1, 2, 3, 4, 5, 130):
        assert f"\n  {status} " in EXIT_CODES
