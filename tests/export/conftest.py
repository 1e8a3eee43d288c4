import shutil

import pytest

from tests import small_run


@pytest.fixture(scope="session")
def run():
    return small_run.small_run()


@pytest.fixture(scope="session")
def release():
    return small_run.small_release()


@pytest.fixture
def copied(release, tmp_path):
    """A release of its own, to break."""
    return shutil.copytree(release.folder, tmp_path / "lenet5-digits" / "1")
