import shutil
from dataclasses import replace

import pytest

from app.release import read_release, write_release


@pytest.fixture
def exported(release, tmp_path):
    """A folder of releases: two versions under a name, to break."""
    for version in (1, 2):
        folder = tmp_path / "exported" / release.name / str(version)
        shutil.copytree(release.folder, folder)
        write_release(replace(read_release(folder), version=version))
    return tmp_path / "exported"
