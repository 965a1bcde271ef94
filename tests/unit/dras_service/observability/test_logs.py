import io
import json
import logging
import sys
import threading
import warnings

import pytest

from dras_service.observability.logs import WITHHELD, EventFormatter, configure_logging, outline
from dras_service.settings import ObservabilitySettings, Settings

NAME = "Doe^Jane"


@pytest.fixture
def log(monkeypatch):
    """This process's logging, sent to a string; all is put back afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    hushed, heard = logging.getLogger("pydicom"), logging.getLogger("pydicom").level
    hushed.setLevel(logging.NOTSET)  # a DICOM node in this process has hushed it
    for module, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    configure_logging(Settings(log_level="DEBUG"), stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    hushed.setLevel(heard)


def test_our_own_message_is_a_constant_and_its_values_stand_apart(log):
    logging.getLogger("dras_service.queue").warning("job %s lost its worker %d times", "5b0e-7f3a", 3)
    (line,) = log()
    assert line["event"] == "job %s lost its worker %d times"
    assert line["values"] == ["5b0e-7f3a", 3]
    assert (line["level"], line["logger"]) == ("WARNING", "dras_service.queue")


@pytest.mark.parametrize(
    "value", [NAME, "Jane Doe", "Müller", "1970-01-01 12:00", "a\nb", "x" * 300, ["a b"]]
)
def test_a_value_that_may_be_a_text_is_withheld_even_from_us(log, value):
    logging.getLogger("dras_service").warning("job %s", value)
    assert log()[0]["values"] == [WITHHELD]


def test_fields_by_name_are_shown_under_their_names(log):
    logging.getLogger("dras_service").info(
        "stage ended", extra={"fields": {"stage": "lungs", "seconds": 1.5, "who": NAME}}
    )
    line = log()[0]
    assert (line["stage"], line["seconds"], line["who"]) == ("lungs", 1.5, WITHHELD)


@pytest.mark.parametrize("logger", ["celery.worker", "uvicorn.access", "kombu", "sqlalchemy.engine"])
def test_a_librarys_template_is_shown_and_never_filled_in(log, logger, monkeypatch):
    monkeypatch.setattr(
        logging.getLogger(logger), "propagate", True
    )  # a server in this process has hushed its own
    logging.getLogger(logger).warning('%s - "%s %s"', "192.0.2.1:5", "GET", f"/v1/jobs?name={NAME}")
    assert log()[0]["event"] == '%s - "%s %s"'
    assert NAME not in str(log())


@pytest.mark.parametrize("logger", ["celery", "pydicom", "py.warnings", "httpx2", "root"])
def test_a_librarys_finished_text_is_withheld(log, logger):
    logging.getLogger(logger).warning(f"Invalid value {NAME} for VR UI")
    assert log()[0]["event"] == WITHHELD
    assert log()[0]["where"].startswith("test_logs:")


def test_an_unknown_librarys_template_is_withheld_too(log):
    logging.getLogger("pydicom").warning("%s", NAME)
    assert log()[0]["event"] == WITHHELD


def fail(kind):
    raise kind(NAME)


def fail_twice():
    try:
        fail(ValueError)
    except ValueError as error:
        raise RuntimeError(NAME) from error


def test_of_an_exception_only_types_and_places_are_shown(log):
    try:
        fail_twice()
    except RuntimeError:
        logging.getLogger("dras_service").exception("a defect")
    error = log()[0]["error"]
    assert error.startswith("RuntimeError at test_logs.py:")
    assert " < ValueError at test_logs.py:" in error
    assert NAME not in str(log())


def test_an_outline_passes_as_a_value(log):
    with pytest.raises(KeyError) as raised:
        fail(KeyError)
    logging.getLogger("dras_service").error("job met %s", outline(raised.value))
    assert log()[0]["values"][0].startswith("KeyError at test_logs.py:")


def test_a_warning_shows_its_kind_and_place_only(log):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"value {NAME}", UserWarning, stacklevel=1)
    line = log()[0]
    assert (line["category"], line["event"]) == ("UserWarning", "python warned")
    assert NAME not in str(log())


def test_a_message_that_cannot_be_formatted_is_not_printed(log, capsys):
    logging.getLogger("dras_service").warning("%d", NAME)
    assert log()[0]["values"] == [WITHHELD]
    assert NAME not in capsys.readouterr().err


def test_a_thread_and_a_process_die_without_quoting_anything(log):
    def die():
        raise ValueError(NAME)

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()
    try:
        die()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert [line["event"] for line in log()] == [
        "a thread ended by a defect",
        "the process ended by a defect",
    ]
    assert NAME not in str(log())


def test_both_forms_say_the_same():
    record = logging.LogRecord("dras_service.x", logging.INFO, __file__, 1, "job %s", ("j1",), None)
    as_json = json.loads(EventFormatter("json").format(record))
    as_text = EventFormatter("text").format(record)
    assert "\n" not in as_text
    assert all(str(value) in as_text for value in as_json.values())


def test_what_the_settings_choose_is_what_is_written():
    assert ObservabilitySettings().log_format == "json"
