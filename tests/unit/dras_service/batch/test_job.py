from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.batch.job import load_job

LEAST = 'out = "results"\n[source]\nfolder = "scans"\n'


def load(tmp_path: Path, text: str) -> object:
    (tmp_path / "job.toml").write_text(text)
    return load_job(tmp_path / "job.toml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        LEAST + 'manifest = "/elsewhere/list.csv"\n[service]\nurl = "http://a"\n'
    )
    job = load_job(tmp_path / "job.toml")
    assert (job.out, job.source.folder) == (tmp_path / "results", tmp_path / "scans")
    assert job.source.manifest == Path("/elsewhere/list.csv")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("out = ", "it is no TOML"),
        ('out = "o"\n', "source: Field required"),
        ('out = "o"\n[source]\n', "source: name a folder, a manifest or a pacs"),
        (LEAST + "[here]\nworker = 2\n", "here.worker: there is no such key"),
        (LEAST + "[here]\nworkers = 0\n", "here.workers: Input should be greater than or equal to 1"),
        (LEAST + '[here]\n[service]\nurl = "http://a"\n', "give [here] or [service], not both"),
        (LEAST + '[service]\nurl = "a:1"\n', "service.url: "),
        (
            LEAST + '[options]\natlas = "a"\n[service]\nurl = "http://a"\n',
            "options.atlas cannot be asked of a service",
        ),
        (LEAST + '[options]\nphase = "held"\n', "options.phase: "),
        (LEAST + "[options]\nlimits = { peel = 3 }\n", "peel"),
        (LEAST + "[table]\nembeddings = true\n", 'table: embeddings belong to rows = "studies"'),
        (LEAST + '[send]\nconfig = "p"\nto = ["x"]\n', "ask for them by options.dicom = true"),
        (
            LEAST + '[send]\nconfig = "p"\nto = ["x"]\n[service]\nurl = "http://a"\n',
            "give [send] or [service], not both",
        ),
        (LEAST + '[source.pacs]\nconfig = "p"\npeer = "x"\n', "give a folder or a pacs, not both"),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SetupRefused) as refused:
        load(tmp_path, text)
    assert refused.value.code is Code.BATCH_INVALID
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupRefused, match="No such file"):
        load_job(tmp_path / "job.toml")
