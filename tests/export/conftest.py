import shutil

import pytest


@pytest.fixture
def copied(release, tmp_path):
    """A release of its own, to break."""
    return shutil.copytree(release.folder, tmp_path / "lenet5-digits" / "1")
