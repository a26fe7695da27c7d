import pytest

from audit.core.codes import Code
from audit.core.refusals import Fault, Refused
from governance.core.schemas import Schema, compiled, pointer, schema_faults

PERSON = {
    "type": "object", "required": ["name"], "additionalProperties": False,
    "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "a/b~c": {"type": "integer"}},
}  # fmt: skip


def test_a_value_that_fits_has_no_faults():
    assert schema_faults(PERSON, {"name": "ada"}) == ()
    assert compiled(PERSON).accepts({"name": "ada"})


def test_every_fault_has_its_pointer_below_the_path_and_its_words():
    faults = schema_faults(PERSON, {"name": "Ada", "a/b~c": "x", "z": 1}, path="/input")

    assert set(faults) == {
        Fault("/input/name", "bad_input", '"Ada" does not match "^[a-z]+$"'),
        Fault("/input/a~1b~0c", "bad_input", '"x" is not of type "integer"'),
        Fault("/input", "bad_input", "Additional properties are not allowed ('z' was unexpected)"),
    }


def test_the_number_of_faults_is_bounded():
    assert len(schema_faults({"items": {"type": "string"}}, [1] * 1000)) == 50


def test_the_words_of_a_fault_hold_no_key_no_escape_and_no_end_of_text():
    (fault,) = schema_faults({"type": "integer"}, "ghp_" + "a" * 36 + "\x1b[0m" + "x" * 1000)

    assert fault.message.startswith('"[masked:github_token]')
    assert "\x1b" not in fault.message
    assert len(fault.message) <= 300


def test_a_schema_is_compiled_once_however_its_keys_are_ordered():
    assert compiled({"type": "string", "maxLength": 3}) is compiled({"maxLength": 3, "type": "string"})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/nothing"},
        {"pattern": "(?=look)around"},
        {"pattern": "(unclosed"},
        {"minimum": "1"},
    ],
)
def test_a_schema_that_is_none_or_reaches_outside_is_refused(schema):
    with pytest.raises(Refused) as refused:
        Schema(schema)

    assert refused.value.code == Code.INVALID
    assert "not a usable JSON Schema" in str(refused.value)


def test_a_pattern_that_would_take_for_ever_elsewhere_is_answered():
    assert schema_faults({"pattern": "^(a+)+$"}, "a" * 5000 + "!") != ()


def test_pointers_are_written_as_the_standard_says():
    assert pointer([]) == ""
    assert pointer(["a/b", "m~n", 0, ""]) == "/a~1b/m~0n/0/"
