import shutil
from pathlib import Path

import pytest

from app.errors import UserError
from app.export.place import roll_back
from app.release import check_release, find_release, next_version, versions


@pytest.fixture
def three(release, tmp_path) -> Path:
    """A name with three versions."""
    folder = tmp_path / "lenet5-digits"
    for number in ("1", "2", "3"):
        shutil.copytree(release.folder, folder / number)
    return folder


def test_a_release_is_rolled_back_to_the_version_before(three):
    assert roll_back(three) == 2
    assert versions(three) == [1, 2]
    assert find_release(three).folder == three / "2"
    assert roll_back(three) == 1
    assert sorted(path.name for path in (three / "withdrawn").iterdir()) == ["2", "3"]


def test_a_withdrawn_version_comes_back_whole_and_its_number_is_never_used_again(three):
    assert roll_back(three, to=1) == 1
    assert next_version(three) == 4
    assert roll_back(three, to=3) == 3
    assert versions(three) == [1, 3]
    assert find_release(three).folder == three / "3"
    check_release(find_release(three))
    assert roll_back(three, to=2) == 2
    assert versions(three) == [1, 2]


def test_a_version_that_is_not_there_is_refused_and_nothing_is_moved(three, tmp_path):
    with pytest.raises(UserError, match=r"lenet5-digits' has no version 7; it has 1, 2, 3"):
        roll_back(three, to=7)
    roll_back(three, to=1)
    with pytest.raises(UserError, match=r"has no version before 1; nothing was changed"):
        roll_back(three)
    with pytest.raises(UserError, match=r"no releases in '.*empty'"):
        roll_back(tmp_path / "deep" / "empty")
    assert not (tmp_path / "deep").exists()
    shutil.copytree(three / "withdrawn" / "2", three / "2")
    with pytest.raises(UserError, match=r"has version 2 here and under withdrawn/; remove one of them"):
        roll_back(three)
    shutil.rmtree(three / "2")
    assert versions(three) == [1]
