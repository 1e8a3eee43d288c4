import pytest

from tests import small_run


@pytest.fixture(scope="session")
def run():
    return small_run.small_run()


@pytest.fixture(scope="session")
def release():
    return small_run.small_release()
