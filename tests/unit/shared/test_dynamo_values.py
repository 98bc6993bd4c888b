"""Values as DynamoDB's JSON, and keys; and its tables, as data."""

from hypothesis import given
from hypothesis import strategies as st

from shared.cloud.aws.dynamo_values import MAX_KEY_BYTES, Value, decoded, encoded, from_item, item_key, to_item
from shared.cloud.aws.tables import TABLES, create_request
from shared.jsontext import Json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INTEGERS = st.integers(-(10**38) + 1, 10**38 - 1)
FLOATS = st.floats(-1e120, 1e120, allow_nan=False).filter(lambda number: abs(number) > 1e-120 or number == 0)


@given(TEXT | INTEGERS | st.binary() | st.lists(TEXT).map(tuple))
def test_a_value_is_read_as_it_was_written(value: str | int | bytes | tuple[str, ...]) -> None:
    assert decoded(encoded(value)) == value


@given(FLOATS)
def test_a_number_is_read_as_it_was_written_though_a_whole_one_as_an_integer(number: float) -> None:
    assert decoded(encoded(number)) == number
    if number.is_integer() and abs(number) < 1e15:
        assert decoded({"N": str(int(number))}) == number


@given(st.dictionaries(st.text(min_size=1), TEXT | INTEGERS | st.none()))
def test_an_item_has_no_attribute_that_is_none(fields: dict[str, Value]) -> None:
    assert from_item(to_item(fields)) == {name: value for name, value in fields.items() if value is not None}


@given(st.none() | st.booleans() | st.text() | st.dictionaries(st.text(), st.none() | st.text()))
def test_what_we_do_not_write_is_none(value: Json) -> None:
    if not isinstance(value, dict) or not {"S", "N", "B", "L"} & value.keys():
        assert decoded(value) is None


def test_an_item_that_is_none_has_no_attributes() -> None:
    assert from_item(None) == {}


@given(TEXT)
def test_a_key_is_one_that_dynamodb_takes(text: str) -> None:
    assert 0 < len(item_key(text).encode()) <= MAX_KEY_BYTES


def test_texts_of_their_own_have_keys_of_their_own() -> None:
    texts = ["", "a", "a/b", "é", "x" * 2_000, "x" * 2_001]
    assert len({item_key(each) for each in texts}) == len(texts)


def test_a_table_is_created_with_each_attribute_of_its_key_and_its_indexes() -> None:
    for table in TABLES:
        request = create_request(table, "hookchain-")
        assert request["TableName"] == f"hookchain-{table.name}"
        attributes = request["AttributeDefinitions"]
        assert isinstance(attributes, list)
        defined = {each["AttributeName"] for each in attributes if isinstance(each, dict)}
        keys = {table.key, *filter(None, [table.sort])}
        assert defined == keys | {name for index in table.indexes for name in (index.partition, index.sort)}
        assert request["KeySchema"] == [
            {"AttributeName": name, "KeyType": kind}
            for name, kind in ((table.key, "HASH"), (table.sort, "RANGE"))
            if name
        ]
