from app.tables import short, table


def test_columns_of_numbers_are_set_to_the_right():
    text = table(["model", "parameters", "accuracy"], [["lenet5", "61,706", "98.6 %"], ["mlp", 7, "not yet"]])
    assert text.splitlines() == [
        "model   parameters  accuracy",
        "------  ----------  --------",
        "lenet5      61,706    98.6 %",
        "mlp              7   not yet",
    ]


def test_names_with_digits_stay_left():
    assert table(["data"], [["cifar10"], ["3"]]).splitlines()[3] == "3"


def test_wide_characters_take_two_columns():
    lines = table(["name", "n"], [["猫猫", 1], ["cat", 2]]).splitlines()
    assert lines[2] == "猫猫  1"
    assert lines[3] == "cat   2"


def test_a_cell_is_one_line_and_none_is_empty():
    assert table(["a", "b"], [["x\ny", None]]).splitlines()[2] == "x y"


def test_a_table_without_rows_has_its_headers():
    assert table(["a", "bcd"], []) == "a  bcd\n-  ---"


def test_numbers_are_short():
    assert [short(n) for n in (840, 61_706, 416_520, 568_740_352, 15_470_264_320)] == [
        "840", "61,706", "0.42 M", "569 M", "15.47 G",
    ]  # fmt: skip
