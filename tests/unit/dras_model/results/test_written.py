import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from dras_model.results.written import Unreadable, read_toml


class Chapter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    pages: int

    @field_validator("pages")
    @classmethod
    def _some(cls, value: int) -> int:
        if value < 1:
            raise ValueError("a chapter has a page")
        return value


class Book(BaseModel):
    model_config = ConfigDict(extra="forbid")
    chapter: Chapter


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"[chapter]\npages = 0", ["chapter.pages: a chapter has a page"]),
        (b"[chapter]\npage = 3", ["chapter.pages: Field required", "chapter.page: there is no such key"]),
        (b"\xff\xfe", ["it is no text"]),
    ],
)
def test_every_fault_names_its_key_and_repeats_no_value(tmp_path, content, faults):
    (tmp_path / "book.toml").write_bytes(content)
    with pytest.raises(Unreadable) as refused:
        read_toml(tmp_path / "book.toml", Book)
    assert list(refused.value.faults) == faults
    assert str(refused.value) == faults[0]


def test_what_is_no_toml_and_what_is_not_there_are_told_apart(tmp_path):
    (tmp_path / "book.toml").write_text("chapter = ")
    with pytest.raises(Unreadable, match="it is no TOML"):
        read_toml(tmp_path / "book.toml", Book)
    with pytest.raises(Unreadable, match=r"it cannot be read \(No such file or directory\)"):
        read_toml(tmp_path / "none.toml", Book)


def test_what_is_written_well_is_read(tmp_path):
    (tmp_path / "book.toml").write_text("[chapter]\npages = 3")
    assert read_toml(tmp_path / "book.toml", Book) == Book(chapter=Chapter(pages=3))
