import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app.errors import UserError
from app.export.place import roll_back
from app.export.samples import read_answers
from app.images import load_picture
from app.release import hashes, read_release, write_release
from app.repository.place import kept, write
from app.repository.plan import choose
from app.repository.tfserving import entries, tfserving
from app.repository.triton import triton
from tests.test_readme import commands

ROOT = Path(__file__).parents[2]
NAME = "lenet5-digits"


def change(folder, **values):
    """Another release in the same place."""
    write_release(replace(read_release(folder), **values))


def app(*arguments, cwd=ROOT):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "app", *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


def tree(folder):
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("source", "every", "numbers", "policy"),
    [(NAME, False, (2,), "latest"), (f"{NAME}/1", False, (1,), "specific"), (NAME, True, (1, 2), "all")],
)
def test_a_name_means_its_newest_version_unless_one_or_all_are_asked_for(exported, source, every, numbers, policy):
    (model,) = choose([exported / source], every)
    assert (model.name, model.numbers, model.policy) == (NAME, numbers, policy)


def test_versions_may_be_listed(exported):
    (model,) = choose([exported / NAME / "2", exported / NAME / "1"])
    assert (model.numbers, model.policy) == ((1, 2), "specific")
    assert "version_policy: { specific { versions: [ 1, 2 ] } }" in triton([model]).settings[f"{NAME}/config.pbtxt"]
    assert "specific { versions: 1 versions: 2 }" in tfserving([model], exported).indexes["models.config"]


def test_what_cannot_be_one_name_is_refused(exported, tmp_path):
    with pytest.raises(UserError, match="given as a name and by version"):
        choose([exported / NAME, exported / NAME / "1"])
    other = shutil.copytree(exported / NAME / "1", tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"are both {NAME} version 1"):
        choose([exported / NAME / "1", other])
    outputs = ({"name": "probabilities", "shape": ["batch", 11]},)
    change(exported / NAME / "2", outputs=outputs)
    with pytest.raises(UserError, match="versions 1 and 2 differ in input, outputs or classes"):
        choose([exported / NAME], every=True)


def test_an_altered_release_is_not_laid_out(exported, tmp_path):
    (exported / NAME / "2" / "model-int8.tflite").write_bytes(b"altered")
    with pytest.raises(UserError, match="was altered after the release was verified"):
        choose([exported / NAME])


def test_tritons_layout_has_the_file_its_configuration_and_the_labels(exported, tmp_path):
    out = tmp_path / "repository"
    write(triton(choose([exported / NAME], every=True)), out)
    assert tree(out) == [f"{NAME}/{file}" for file in ("1/model.onnx", "2/model.onnx", "config.pbtxt", "labels.txt")]
    release = read_release(exported / NAME / "2")
    assert hashes(out / NAME / "2" / "model.onnx") == release.file("model.onnx").sha256
    assert (out / NAME / "labels.txt").read_text().splitlines() == list(release.classes)


@pytest.mark.parametrize("variant", ["onnx-fp32", "onnx-fp16", "onnx-int8"])
def test_tritons_configuration_says_what_the_file_itself_says(exported, tmp_path, variant):
    out = tmp_path / "repository"
    write(triton(choose([exported / NAME]), variant), out)
    session = onnxruntime.InferenceSession(out / NAME / "2" / "model.onnx", providers=["CPUExecutionProvider"])
    text = (out / NAME / "config.pbtxt").read_text()
    for kind, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        blocks = re.findall(rf"^{kind} \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
        assert len(blocks) == len(tensors) == 1
        assert f'name: "{tensors[0].name}"' in blocks[0]
        assert f"dims: {str(tensors[0].shape[1:]).replace('[', '[ ').replace(']', ' ]')}\n" in blocks[0]
        assert (tensors[0].type, "TYPE_FP32" in blocks[0]) == ("tensor(float)", True)
        assert tensors[0].shape[0] == "batch"  # which Triton puts in front
    assert f'name: "{NAME}"' in text
    largest = int(re.search(r"max_batch_size: (\d+)", text)[1])
    preferred = json.loads(re.search(r"preferred_batch_size: (\[.*\])", text)[1])
    assert max(preferred) <= largest
    images = np.zeros((largest, *session.get_inputs()[0].shape[1:]), np.float32)
    assert session.run(None, {"image": images})[0].shape == (largest, 10)


def test_tensorflow_servings_layout_loads_and_answers_as_the_samples_record(exported, tmp_path):
    import tensorflow as tf

    out = tmp_path / "repository"
    write(tfserving(choose([exported / NAME]), out), out)
    assert "saved_model.pb" in {Path(file).name for file in tree(out / NAME / "2")}
    assert tree(out / NAME / "2") == tree(exported / NAME / "2" / "saved_model")
    release = read_release(exported / NAME / "2")
    paths, recorded = read_answers(release.folder)
    pictures = np.stack([load_picture(release.folder / path, release.picture_shape) for path in paths]).astype(np.float32)
    loaded = tf.saved_model.load(str(out / NAME / "2"))
    found = loaded.signatures["serving_default"](image=tf.constant(pictures))["probabilities"]
    assert np.abs(np.asarray(found) - recorded["saved_model"]["probabilities"]).max() < 1e-4


def test_models_config_lists_every_name_also_those_of_earlier_calls(exported, tmp_path):
    out = tmp_path / "repository"
    write(tfserving(choose([exported / NAME / "1"]), out), out)
    change(exported / NAME / "2", name="other")
    (exported / NAME / "2").rename(exported / "other-2")
    write(tfserving(choose([exported / "other-2"]), out, mount="/srv/models/"), out)
    first, second = entries(out).items()
    assert (first[0], second[0]) == (NAME, "other")
    assert f'base_path: "/models/{NAME}"' in first[1]
    assert "specific { versions: 1 }" in first[1]
    assert 'base_path: "/srv/models/other"' in second[1]
    assert (out / "models.config").read_text().count("config {") == 2
    with pytest.raises(UserError, match="no absolute path"):
        tfserving(choose([exported / "other-2"]), out, mount="models")


def test_a_models_config_that_was_edited_is_kept(exported, tmp_path):
    out = tmp_path / "repository"
    models = choose([exported / NAME])
    write(tfserving(models, out), out)
    file = out / "models.config"
    edited = file.read_text().replace("config {\n", "config {\n    version_labels { key: 'stable' value: 2 }\n", 1) + "# mine\n"
    file.write_text(edited)
    with pytest.raises(UserError, match="was written otherwise than by this program"):
        tfserving(models, out)
    assert file.read_text() == edited
    write(tfserving(models, out, replace=True), out, replace=True)
    assert "# mine" not in file.read_text()


def test_what_is_there_already_is_left_alone_and_what_differs_is_refused_whole(exported, tmp_path):
    out = tmp_path / "repository"
    first = triton(choose([exported / NAME / "1"]))
    assert write(first, out) == [f"{NAME}/1", f"{NAME}/labels.txt", f"{NAME}/config.pbtxt"]
    before = {file: (out / file).stat().st_mtime_ns for file in tree(out)}
    assert write(first, out) == []
    assert {file: (out / file).stat().st_mtime_ns for file in tree(out)} == before

    other = triton(choose([exported / NAME / "1", exported / NAME / "2"]), "onnx-int8")
    with pytest.raises(UserError, match=rf"{NAME}/1 is there already, and otherwise; give another --out, or --replace"):
        write(other, out)
    assert tree(out) == sorted(before)  # not even version 2, which was not there

    (out / NAME / "config.pbtxt").write_text("# tuned by hand\n")
    assert write(first, out) == []
    assert kept(first, out) == [f"{NAME}/config.pbtxt"]
    assert write(other, out, replace=True) == [f"{NAME}/1", f"{NAME}/2", f"{NAME}/config.pbtxt"]
    assert hashes(out / NAME / "1" / "model.onnx") == read_release(exported / NAME / "1").file("model-int8.onnx").sha256


@pytest.mark.parametrize("layout", [triton, tfserving])
def test_a_version_that_was_rolled_back_is_not_left_to_be_served(exported, tmp_path, layout):
    out = tmp_path / "repository"
    extra = () if layout is triton else (out,)
    write(layout(choose([exported / NAME], every=True), *extra), out)
    roll_back(exported / NAME)
    with pytest.raises(UserError, match=rf"{NAME}/2 is newer, and servers would take it; remove it, or give --replace"):
        write(layout(choose([exported / NAME]), *extra), out)
    write(layout(choose([exported / NAME]), *extra), out, replace=True)
    assert sorted(child.name for child in (out / NAME).iterdir() if child.is_dir()) == ["1"]


def test_leftovers_of_a_killed_process_do_not_stay(exported, tmp_path):
    out = tmp_path / "repository"
    leftover = out / NAME / ".2.partial"
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("x")
    write(triton(choose([exported / NAME])), out)
    assert tree(out / NAME) == ["2/model.onnx", "config.pbtxt", "labels.txt"]
    assert not leftover.exists()


def test_a_release_is_never_written_over(exported):
    before = tree(exported)
    for replaced in (False, True):
        with pytest.raises(UserError, match="is a release"):
            write(triton(choose([exported / NAME])), exported, replace=replaced)
    assert tree(exported) == before


@pytest.mark.parametrize("layout", ["triton", "tfserving"])
def test_the_command_writes_a_repository_and_says_so(exported, tmp_path, layout):
    arguments = ["repository", f"exported/{NAME}", "--layout", layout, "--out", "repository", "--all-versions"]
    done = app(*arguments, cwd=exported.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"written: repository/{NAME}/1\n" in done.stdout
    assert done.stdout.endswith("repository: repository\n")
    again = app(*arguments, cwd=exported.parent)
    assert again.stdout == "repository: repository (as it was: all of it was there already)\n"


def test_what_cannot_be_laid_out_is_told_in_one_line(exported, tmp_path):
    bare = read_release(exported / NAME / "1")
    change(exported / NAME / "1", files=tuple(file for file in bare.files if file.format == "tflite"))
    for arguments, told in (
        ([NAME, "--layout", "trition"], "no layout 'trition'; did you mean triton"),
        ([NAME, "--layout", "triton", "--variant", "onnx-int4"], "no variant 'onnx-int4'; did you mean onnx-int8"),
        ([NAME, "--layout", "triton", "--mount", "/models"], "--mount is for --layout tfserving"),
        ([NAME, "--layout", "tfserving", "--variant", "onnx-int8"], "--variant is for --layout triton"),
        ([f"{NAME}/1", "--layout", "triton"], "has no ONNX file, which Triton needs"),
        ([f"{NAME}/1", "--layout", "tfserving"], "has no SavedModel"),
        (["nothing", "--layout", "triton"], "no release in 'nothing'"),
    ):
        done = app("repository", *arguments, "--out", str(tmp_path / "repository"), cwd=exported)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert told in done.stderr
        assert not (tmp_path / "repository").exists()


def test_the_page_on_servers_has_commands_that_work(exported):
    for line in commands(ROOT / "docs" / "deploying.md", skipped=False):
        words = line.removeprefix("python -m app ").split()
        if words[0] != "repository":
            continue  # a benchmark takes long, and has tests of its own
        done = app(*words, cwd=exported.parent)
        assert (done.returncode, done.stderr) == (0, "")
    assert (exported.parent / "repositories/triton" / NAME / "2/model.onnx").is_file()
    assert (exported.parent / "repositories/tfserving/models.config").is_file()
