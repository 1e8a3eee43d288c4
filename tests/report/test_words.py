import math

import pytest

from app.report.chance import interval, smallest_difference
from app.report.words import count, duration, percent, setting_value


@pytest.mark.parametrize(
    ("share", "pictures", "text"),
    [
        (0.98612, 360, "98.6 %"),
        (0.98612, 10_000, "98.61 %"),
        (0.99999, 360, "99.9 %"),
        (1.0, 360, "100.0 %"),
        (None, 5, "not recorded"),
    ],
)
def test_a_share_is_written_as_exactly_as_its_pictures_allow(share, pictures, text):
    assert percent(share, pictures) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.14, "3.1 s"), (48.4, "48 s"), (99.7, "1 min 40 s"), (134, "2 min 14 s"), (11_100, "3 h 5 min"), (None, "not recorded")],
)
def test_durations_are_written_for_people(seconds, text):
    assert duration(seconds) == text


def test_numbers_and_settings_are_written_as_they_are_typed():
    assert count(61706) == "61,706"
    assert [setting_value(value) for value in (True, 0.003, "", None, "adamw")] == [
        "true",
        "0.003",
        "none",
        "not recorded",
        "adamw",
    ]


def test_the_interval_holds_the_share_and_narrows_with_pictures():
    low, high = interval(0.97, 360)
    assert low < 0.97 < high
    wide = high - low
    low, high = interval(0.97, 36_000)
    assert math.isclose((high - low) * 10, wide, rel_tol=0.1)
    assert interval(1.0, 100)[1] == 1.0
    assert interval(0.0, 100)[0] == 0.0


def test_no_difference_counts_when_all_is_right():
    assert smallest_difference(1.0, 100) == 0.0
    assert 0.02 < smallest_difference(0.97, 360) < 0.03
