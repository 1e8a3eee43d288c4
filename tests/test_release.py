import json
from dataclasses import replace

import pytest

from app.errors import UserError
from app.release import (
    MANIFEST,
    Artifact,
    Release,
    check_release,
    digest,
    find_release,
    hashes,
    labels_text,
    next_version,
    read_release,
    size,
    write_release,
)


def make_release(folder, classes=("cat", "dög"), version=1):
    """A release with files of a few bytes: the manifest does not care what a network is."""
    (folder / "saved_model" / "variables").mkdir(parents=True)
    (folder / "saved_model" / "graph.pb").write_bytes(b"graph")
    (folder / "saved_model" / "variables" / "data").write_bytes(b"weights")
    (folder / "model.onnx").write_bytes(b"network")
    (folder / "labels.txt").write_text(labels_text(classes), encoding="utf-8")
    files = [
        Artifact(
            path=path,
            format=kind,
            precision="fp32",
            runtime="a runtime",
            input_dtype="float32",
            channels="RGB",
            quantisation="",
            sha256=hashes(folder / path),
            bytes=size(folder / path),
            metric=0.9,
            agreement=1.0,
            max_difference=1e-7,
            latency_ms=0.25,
        )
        for path, kind in (("saved_model", "saved_model"), ("model.onnx", "onnx"))
    ]
    release = Release(
        folder=folder,
        name="net-pets",
        version=version,
        objective="classification",
        classes=tuple(classes),
        input={"name": "image", "shape": ["batch", 4, 5, 3], "dtype": "float32"},
        outputs=({"name": "probabilities", "shape": ["batch", 2]},),
        files=tuple(files),
        extras={"labels.txt": hashes(folder / "labels.txt")},
        metric="accuracy",
        bounds={"fp32": 1e-4},
        threshold={"probability": 0.5},
        licence="",
        left_out={},
        run={"name": "a-run", "data": {"name": "pets", "fingerprint": "f"}},
        versions={"python": "3.11"},
    )
    write_release(release)
    return release


def test_a_release_is_read_as_it_was_written(tmp_path):
    release = make_release(tmp_path / "1")
    assert read_release(tmp_path / "1") == release
    assert release.picture_shape == (4, 5, 3)
    assert release.file("model.onnx").bytes == 7
    assert release.file("saved_model").bytes == 12
    check_release(release)


@pytest.mark.parametrize("path", ["model.onnx", "saved_model/graph.pb", "saved_model/variables/data", "labels.txt"])
def test_an_altered_or_missing_file_is_refused_by_its_name(tmp_path, path):
    release = make_release(tmp_path / "1")
    file = tmp_path / "1" / path
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"{path} was altered.*export it again"):
        check_release(release)
    file.unlink()
    with pytest.raises(UserError, match=f"{path} is missing; export it again"):
        check_release(release)


def test_a_file_too_many_in_a_saved_model_is_refused(tmp_path):
    release = make_release(tmp_path / "1")
    (tmp_path / "1" / "saved_model" / "variables" / "more").write_bytes(b"x")
    with pytest.raises(UserError, match=r"saved_model/variables/more is no part of the release"):
        check_release(release)


def test_an_edited_manifest_is_refused(tmp_path):
    make_release(tmp_path / "1")
    manifest = tmp_path / "1" / MANIFEST
    manifest.write_text(manifest.read_text().replace("0.9,", "0.99,"))
    with pytest.raises(UserError, match=r"release.json was altered"):
        read_release(tmp_path / "1")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"release.json was altered"):
        read_release(tmp_path)


def test_a_manifest_laid_out_otherwise_is_the_same(tmp_path):
    release = make_release(tmp_path / "1")
    manifest = tmp_path / "1" / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()), sort_keys=True))
    assert read_release(tmp_path / "1") == release


def test_labels_of_other_classes_are_refused_even_with_the_right_hash(tmp_path):
    release = make_release(tmp_path / "1")
    labels = tmp_path / "1" / "labels.txt"
    labels.write_text("dog\ncat\n")
    swapped = replace(release, extras={"labels.txt": hashes(labels)})
    with pytest.raises(UserError, match=r"labels.txt does not hold the classes of release.json"):
        check_release(swapped)


def test_a_manifest_cannot_point_outside_its_release(tmp_path):
    release = make_release(tmp_path / "1")
    (tmp_path / "secret").write_text("x")
    outside = replace(release, extras=release.extras | {"../secret": hashes(tmp_path / "secret")})
    with pytest.raises(UserError, match=r"outside the release"):
        check_release(outside)


def test_a_manifest_of_another_format_is_refused(tmp_path):
    release = make_release(tmp_path / "1")
    values = release.to_json() | {"format": 1}
    (tmp_path / "1" / MANIFEST).write_text(json.dumps(values | {"digest": digest(values)}))
    with pytest.raises(UserError, match=r"another version of this program \(format 1\); export it again"):
        read_release(tmp_path / "1")


def test_a_name_means_its_newest_version(tmp_path):
    name = tmp_path / "net-pets"
    for version in (1, 9, 10):
        make_release(name / str(version), version=version)
    (name / "11").mkdir()  # no manifest: not a release
    make_release(name / ".abc.partial", version=12)
    make_release(name / "latest", version=13)
    assert find_release(name).version == 10
    assert find_release(name / "9").version == 9
    assert next_version(name) == 12
    assert next_version(tmp_path / "nothing") == 1


def test_a_folder_without_a_release_is_told_so(tmp_path):
    with pytest.raises(UserError, match=r"no release in .*nowhere.*python -m app export"):
        find_release(tmp_path / "nowhere")
    make_release(tmp_path / "net-pets" / "1")
    with pytest.raises(UserError, match=r"holds releases, and is none itself; choose one: net-pets"):
        find_release(tmp_path)
