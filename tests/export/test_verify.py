import numpy as np
import pytest

from app.errors import UserError
from app.export.verify import changed_answers, verify_release
from app.predict.ask import predict
from tests.export.recorded import rewrite
from tests.slim import run_without

CODE = """
from app.export.verify import verify_release
for verdict in verify_release({!r}):
    print(verdict.path, verdict.status, verdict.detail, sep="|")
"""


def test_every_file_of_a_fresh_release_passes(release):
    verdicts = verify_release(release.folder.parent)
    assert [verdict.path for verdict in verdicts] == [file.path for file in release.files]
    assert {verdict.status for verdict in verdicts} == {"passed"}
    assert all(verdict.detail.startswith("16 samples, at most ") for verdict in verdicts)


@pytest.mark.parametrize(
    "path", ["model.onnx", "model-int8.tflite", "saved_model/saved_model.pb", "samples/03.png", "labels.txt", "README.md"]
)
def test_an_altered_byte_or_a_missing_file_is_refused_by_verify_and_predict(copied, path):
    file = copied / path
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for use in (verify_release, lambda folder: predict(folder, [copied / "samples" / "00.png"])):
        with pytest.raises(UserError, match=f"{path} was altered after the release was verified; export it again"):
            use(copied)
    file.unlink()
    for use in (verify_release, lambda folder: predict(folder, [copied / "samples" / "00.png"])):
        with pytest.raises(UserError, match=f"{path} is missing; export it again"):
            use(copied)


def test_labels_of_another_release_are_refused_by_verify_and_predict(copied):
    labels = copied / "labels.txt"
    labels.write_text("".join(reversed(labels.read_text().splitlines(keepends=True))))
    for use in (verify_release, lambda folder: predict(folder, [copied / "samples" / "00.png"])):
        with pytest.raises(UserError, match=r"labels.txt was altered"):
            use(copied)


def test_an_edited_figure_is_refused_by_verify_and_predict(copied):
    manifest = copied / "release.json"
    manifest.write_text(manifest.read_text().replace('"agreement": 1.0', '"agreement": 0.9'))
    for use in (verify_release, lambda folder: predict(folder, [copied / "samples" / "00.png"])):
        with pytest.raises(UserError, match=r"release.json was altered after the release was made"):
            use(copied)


def test_a_file_that_answers_otherwise_than_recorded_fails_and_the_others_do_not(copied):
    def change(outputs):
        outputs["model.onnx"]["probabilities"][3][0] += 2e-4
        outputs["model-fp16.tflite"]["probabilities"][3][0] += 2e-4  # within its bound

    rewrite(copied, change)
    status = {verdict.path: verdict.status for verdict in verify_release(copied)}
    assert status.pop("model.onnx") == "failed"
    assert set(status.values()) == {"passed"}


def test_an_integer_file_may_differ_a_little_but_not_change_its_answer():
    recorded = np.array([[0.50, 0.48, 0.02], [0.60, 0.30, 0.10], [0.20, 0.50, 0.30]])
    found = np.array([[0.48, 0.50, 0.02], [0.40, 0.50, 0.10], [0.24, 0.46, 0.30]])
    assert changed_answers(found, recorded, 0.05).tolist() == [False, True, False]


def test_without_tensorflow_a_saved_model_is_not_executed(release):
    printed = run_without(["tensorflow", "keras", "sklearn", "onnx", "tf2onnx"], CODE.format(str(release.folder)))
    rows = dict(line.split("|", 1) for line in printed.splitlines())
    assert rows.pop("saved_model") == "not executed|hashes match; TensorFlow is not installed here"
    assert len(rows) == 8
    assert all(row.startswith("passed|") for row in rows.values())


def test_without_litert_its_files_are_not_executed_either(release):
    printed = run_without(["tensorflow", "keras", "ai_edge_litert"], CODE.format(str(release.folder)))
    rows = dict(line.split("|", 1) for line in printed.splitlines())
    status = {path: row.split("|")[0] for path, row in rows.items()}
    assert status == {path: "passed" if path.endswith(".onnx") else "not executed" for path in status}


def test_an_altered_saved_model_is_noticed_without_tensorflow(copied):
    (copied / "saved_model" / "saved_model.pb").write_bytes(b"x")
    code = f"""
from app.errors import UserError
from app.export.verify import verify_release
try:
    verify_release({str(copied)!r})
except UserError as error:
    print(error)
"""
    assert "saved_model/saved_model.pb was altered" in run_without(["tensorflow", "keras"], code)


def test_one_file_of_a_release_is_verified_alone_though_others_are_gone(copied):
    (copied / "model.onnx").unlink()
    assert [(one.path, one.status) for one in verify_release(copied / "model-mcu.tflite")] == [("model-mcu.tflite", "passed")]
    content = bytearray((copied / "model-mcu.tflite").read_bytes())
    content[-1000] ^= 1
    (copied / "model-mcu.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"model-mcu.tflite was altered after the release was verified"):
        verify_release(copied / "model-mcu.tflite")


def test_a_file_that_no_release_vouches_for_is_not_verified(copied, tmp_path):
    (copied / "other.onnx").write_bytes((copied / "model.onnx").read_bytes())
    with pytest.raises(UserError, match=r"other.onnx' is no part of the release; it has saved_model, model-fp32.tflite, "):
        verify_release(copied / "other.onnx")
    (tmp_path / "lone.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"lone.onnx' lies in no release: nothing says what it should answer; "):
        verify_release(tmp_path / "lone.onnx")
