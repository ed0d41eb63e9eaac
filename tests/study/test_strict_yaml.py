import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import StudyError
from harness.study.strict_yaml import MAX_BYTES, MAX_DEPTH, FieldPath, dotted, parse_yaml, read_yaml, yaml_line

TEXT = """\
a: 1

b:
  - x
  - {c: 2,
     d: 3}
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("false", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-7", -7), ("+7", 7), ("1e-3", 0.001), ("1.0e-4", 0.0001), (".5", 0.5), ("-1.", -1.0), ("2E3", 2e3),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("True", "True"), ("012", "012"), ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("12:30", "12:30"), (".inf", ".inf"), (".nan", ".nan"), ("2020-01-01", "2020-01-01"),
        ("e5", "e5"), ("=", "="), ("1.2.3", "1.2.3"), ("'1'", "1"), ('"true"', "true"), ("'null'", "null"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    read = parse_yaml(text, "file")[0]
    assert read == value
    assert type(read) is type(value)


def test_every_field_has_its_line() -> None:
    data, lines = parse_yaml(TEXT, "file")
    assert data == {"a": 1, "b": ["x", {"c": 2, "d": 3}]}
    assert lines == {
        (): 1, ("a",): 1, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("b", 1, "c"): 5, ("b", 1, "d"): 6,
    }  # fmt: skip


def test_a_key_called_like_yaml_s_merge_key_is_just_a_key() -> None:
    assert parse_yaml("<<: {a: 1}", "file")[0] == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: 2\na: 3", 3, "a: this key is given twice"),
        ("a:\n  - {b: 1, b: 1}", 2, "a[0].b: this key is given twice"),
        ("a: &x 1\nb: *x", 1, "anchors and aliases are not allowed"),
        ("a: 1\nb: *x", 2, "anchors and aliases are not allowed"),
        ("a: &x [*x]", 1, "anchors and aliases are not allowed"),
        ("a: !!python/object/apply:os.system [ls]", 1, "the tag tag:yaml.org,2002:python/object/apply:os.system"),
        ("a: 1\nb: !!str 1", 2, "the tag tag:yaml.org,2002:str is not allowed"),
        ("b: ! 1", 1, "the tag ! is not allowed"),
        ("b: !mine {c: 1}", 1, "the tag !mine is not allowed"),
        ("a:\n  1: x", 2, "a: a key is a plain word"),
        ("true: x", 1, "the file: a key is a plain word"),
        ("? [a, b]\n: x", 1, "the file: a key is a plain word"),
        ("a: 1\nnull: x", 2, "the file: a key is a plain word"),
        ("a: 1\n---\nb: 2", 2, "but found another document"),
        ("a: [1,\n  2", 2, "expected ',' or ']'"),
        ("a: 1\n\tb: 2", 2, "cannot start any token"),
        ("a: b: c", 1, "mapping values are not allowed here"),
        ("a: 'x", 1, "found unexpected end of stream"),
        ("a: 1\nb: x\0y", 2, "special characters are not allowed"),
        ("a: 1\n\x07", 2, "special characters are not allowed"),
        ("a:\n  - 1\n  - " + "9" * 5000, 3, "a[1]: not a number that can be read"),
    ],
)
def test_what_is_not_plain_data_is_refused_at_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_yaml(text, "file")
    assert str(caught.value).startswith(f"file:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("escape", ["\\U00110000", "\\UFFFFFFFF"])
def test_an_escape_beyond_unicode_is_refused(escape: str) -> None:
    with pytest.raises(StudyError, match=r"^file:2: "):
        parse_yaml(f'a: 1\nb: "{escape}"', "file")


@pytest.mark.parametrize("nested", [lambda n: "[" * n + "]" * n, lambda n: "{a: " * (n - 1) + "{}" + "}" * (n - 1)])
def test_nesting_ends_at_the_limit(nested: Any) -> None:
    parse_yaml(nested(MAX_DEPTH), "file")
    with pytest.raises(StudyError, match=f"^file:1: nested deeper than {MAX_DEPTH} levels$"):
        parse_yaml(nested(MAX_DEPTH + 1), "file")


def test_a_hundred_thousand_brackets_are_refused() -> None:
    with pytest.raises(StudyError, match="nested deeper"):
        parse_yaml("[" * 100_000, "file")


def test_a_file_is_read_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa: \xc3\xa9\nb: 2\n")  # with a byte order mark, as Windows writes it
    assert read_yaml(tmp_path / "file") == ({"a": "é", "b": 2}, {(): 1, ("a",): 1, ("b",): 2})


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"#" * MAX_BYTES)
    assert read_yaml(file)[0] is None
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(StudyError) as caught:
        read_yaml(file)
    assert str(caught.value) == f"{file}: 1,000,001 bytes; a study file has at most 1,000,000"


@pytest.mark.parametrize(
    ("content", "line", "byte"), [(b"a: 1\nb: \xff\n", 2, "ff"), (b"\xc3", 1, "c3"), (b"a\n\n\xed\xa0\x80", 3, "ed")]
)
def test_what_is_not_utf_8_is_refused_at_its_line(tmp_path: Path, content: bytes, line: int, byte: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StudyError) as caught:
        read_yaml(tmp_path / "file")
    assert str(caught.value) == f"{tmp_path / 'file'}:{line}: not UTF-8 text (byte 0x{byte})"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "no such study file"),
        (".", "this is a folder; name the study file"),
        ("n" * 300, "cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        read_yaml(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {message}")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (("stages", 0, "grid", "head"), "stages[0].grid.head"),
        ((), "the file"),
        (("a",), "a"),
        ((0, "a", 1), "[0].a[1]"),
    ],
)
def test_a_field_is_written_with_dots_and_indices(field: FieldPath, text: str) -> None:
    assert dotted(field) == text


words = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4), max_leaves=12
)


@given(plain)
def test_all_that_json_can_say_is_read_as_json_reads_it(data: Any) -> None:
    read = parse_yaml(json.dumps(data), "file")[0]
    assert repr(read) == repr(data)  # 1, 1.0 and true are not the same


@pytest.mark.parametrize(
    "value", ["follow", "/a b/c: d", "007", "no", 1, None, ["a", "b"], {"image": "the file", "n": "1"}]
)
def test_a_line_of_yaml_is_read_as_it_was_meant_below_other_lines(value: Any) -> None:
    line = yaml_line("field", value)
    assert "\n" not in line
    assert parse_yaml(f"data:\n  path: x\n  {line}\n  more: 1\n", "file")[0] == {
        "data": {"path": "x", "field": value, "more": 1}
    }
