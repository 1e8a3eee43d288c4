"""What a person gets who types something wrong: one line, what is accepted, what to do, exit code 2, and nothing lost."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.cli import COMMANDS

ROOT = Path(__file__).parents[1]


def app(*arguments: str, limit_bytes: int | None = None, **environment: str) -> subprocess.CompletedProcess:
    def before() -> None:
        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, preexec_fn=before,
    )  # fmt: skip


def refusal(*arguments: str, **environment: str) -> str:
    """The one line that a command is refused with."""
    done = app(*arguments, **environment)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("convoy: ")
    return lines[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two classes of four pictures."""
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(4):
            pixels = np.random.default_rng((i, len(name), ord(name[0]))).integers(0, 255, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


WRONG = [
    (["trian"], "no command 'trian'; did you mean train?"),
    (["train"], "train takes a model and a data set"),
    (["train", "lenet", "digits"], "no model 'lenet'; did you mean lenet5, "),
    (["train", "lenet5", "mnits"], "no data set 'mnits'; did you mean mnist"),
    (["train", "lenet5", "digits", "more"], "'more' is one argument too many"),
    (["train", "lenet5", "digits", "--epoch", "3"], "no flag '--epoch'; did you mean --epochs"),
    (["train", "lenet5", "digits", "--epochs"], "expected one argument"),
    (["train", "lenet5", "digits", "--epochs", "three"], "--epochs takes a whole number; not 'three'"),
    (["train", "lenet5", "digits", "--epochs", "0"], "--epochs 0 is too small; the smallest is 1"),
    (["train", "lenet5", "digits", "--learning-rate", "nan"], "--learning-rate takes a number; not 'nan'"),
    (["train", "lenet5", "digits", "--dropout", "1"], "--dropout 1.0 is too large; the largest is 0.95"),
    (["train", "lenet5", "digits", "--optimizer", "lion"], "--optimizer takes sgd, momentum, nesterov"),
    (["train", "lenet5", "digits", "--augment", "shift+flop"], "no augmentation 'flop'; did you mean flip"),
    (["train", "lenet5", "digits", "--image-size", "16"], "--image-size 16 is too small for lenet5; the smallest is 28"),
    (["train", "lenet5", "digits", "--set", "pooling=middle"], "--set pooling takes max, average, min; not 'middle'"),
    (["train", "lenet5", "digits", "--set", "poolng=max"], "did you mean pooling?"),
    (["train", "lenet5", "digits", "--set", "pooling"], "--set takes OPTION=VALUE; not 'pooling'"),
    (["train", "lenet5", "no/such/folder"], "there is no no/such/folder"),
    (["train", "lenet5", "README.md"], "README.md is a file"),
    (["train", "lenet5", "digits", "--out", "/proc/nowhere"], "cannot write /proc/nowhere"),
    (["train", "lenet5", "digits", "--freeze"], "give --weights imagenet, RUN or FILE too"),
    (["train", "--resume", "--out", "no/such/run"], "no run in 'no/such/run'"),
    (["evaluate", "no/such/run"], "no/such/run"),
    (["compare", "no/such/run"], "no run in 'no/such/run'"),
    (["export", "no/such/run"], "no run in 'no/such/run'"),
    (["verify", "no/such/release"], "no/such/release"),
    (["rollback", "no/such/release"], "no releases in 'no/such/release'; give the folder of a name"),
    (["benchmark", "no/such/release"], "no release in 'no/such/release'"),
    (["benchmark", "no/such/release", "--plot", "x.pdf"], "x.pdf"),
    (["repository", "no/such/release", "--layout", "trition", "--out", "x"], "no layout 'trition'; did you mean triton"),
    (["repository", "no/such/release", "--layout", "triton", "--out", "x"], "no release in 'no/such/release'"),
    (["demo", "no/such/release"], "no release in 'no/such/release'"),
    (["predict", "no/such/release", "x.png"], "no/such/release"),
    (["predict", "README.md", "x.png"], "README.md"),
    (["predict", "no/such/release", ""], "'pictures' is empty"),
    (["predict", "no/such/release", "x.png", "--json", "--csv", "x.csv"], "not allowed with"),
    (["predict", "no/such/release", "x.png", "--top", "1000000"], "--top 1000000 is too large"),
    (["train", "lenet5", "digits", "--out", ""], "'out' is empty"),
    (["train", "lenet5", "digits", "--weights", "no/such/run"], "no run in 'no/such/run'"),
    (["train", "lenet5", "digits", "--epochs", "1" + 400 * "0"], "--epochs takes a whole number"),
    (["train", "lenet5", 5000 * "x"], "File name too long"),
    (["compare", "no/such/run", "--plot", "curves.foo"], "a name that ends in .png"),
    (["train", "resnet20", "digits", "--weights", "imagenet"], "keras.applications has none for resnet20; it has for vgg_d"),
    (["train", "vgg_a", "digits", "--image-size", "16"], "--image-size 16 is too small for vgg_a; the smallest is 17"),
    (["train", "resnet50", "digits", "--set", "squeeze=many"], "--set squeeze takes a whole number; not 'many'"),
    (["train", "vgg_a", "digits", "--set", "width=-1"], "--set width takes a number above 0, at most 4; not '-1'"),
    (["train", "lstm", "digits", "--set", "depth=0"], "--set depth takes a whole number from 1"),
    (["train", "resnet20", "digits", "--set", "squeeze=-1"], "--set squeeze takes a whole number from 0"),
    (["inspect", "rnn", "--set", "depth=3000"], "give 1 to 20"),
    (["inspect", "resnet5"], "no model 'resnet5'; did you mean"),
    (["inspect", "lenet5", "--image-size", "8"], "--image-size 8 is too small for lenet5; the smallest is 28"),
    (["inspect", "lenet5", "--image-size", "32x8"], "--image-size 8 is too small for lenet5; the smallest is 28"),
    (["inspect", "lenet5", "--image-size", "32x"], "as 192x256; not '32x'"),
    (["inspect", "lenet5", "--plot", "lenet5.txt"], "give a name that ends so"),
    (["inspect", "mobilenet", "--set", "alpha=0.5"], "no option 'alpha'"),
    (["kernels", "no/such/picture.png"], "no/such/picture.png: there is no such file"),
    (["kernels", "--plot", "kernels.pdf"], "give a name that ends in .png"),
    (["evaluate", "no/such/run", "--scales", "32,48"], "--scales are those of --dense; give both"),
    (["evaluate", "no/such/run", "--dense", "--scales", "32,x"], "--scales takes a whole number; not 'x'"),
    (["evaluate", "no/such/run", "--dense"], "--dense measures a run"),
]


@pytest.mark.parametrize(("arguments", "told"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_cannot_work_is_told_in_one_line(arguments, told):
    assert told in refusal(*arguments)


@pytest.mark.parametrize(
    "arguments", [["--help"], *(wrong for wrong, _ in WRONG if wrong[0] == "train" and "--resume" not in wrong)]
)
def test_help_and_wrong_names_load_no_keras(arguments):
    """What takes seconds is loaded after everything that can be checked without it."""
    script = (
        "import sys\nfrom app.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_lists_every_command_and_setting():
    top, train = app("--help").stdout, app("train", "--help").stdout
    for command in COMMANDS:
        assert re.search(rf"^ +{command}( |$)", top, re.MULTILINE)
    for flag in ("--epochs", "--weight-decay", "--set", "--resume", "--devices", "--strict"):
        assert flag in train


def test_tables_are_for_people_and_for_programs():
    assert "lenet5" in app("models").stdout
    listed = json.loads(app("models", "--json").stdout)
    assert {"name": "lenet5", "parameters": 61706}.items() <= {m["name"]: m for m in listed}["lenet5"].items()
    assert "not run" in app("datasets").stdout
    assert {entry["name"] for entry in json.loads(app("datasets", "--json").stdout)} >= {
        "digits",
        "mnist",
        "cifar10",
        "tf_flowers",
    }


def test_data_that_cannot_be_downloaded_is_told_and_leaves_no_run(tmp_path):
    told = refusal("train", "lenet5", "kmnist", "--out", str(tmp_path / "run"), TFDS_DATA_DIR=str(tmp_path / "none"))
    assert "kmnist is not prepared" in told
    assert not (tmp_path / "run").exists()


def test_a_backend_that_is_not_there_is_told_in_one_line(tmp_path):
    told = refusal("train", "mlp", "digits", "--out", str(tmp_path / "run"), KERAS_BACKEND="theano")
    assert "KERAS_BACKEND=theano cannot be used" in told
    assert not (tmp_path / "run").exists()


def test_strict_refuses_what_would_be_left_out_and_leaves_no_run(tmp_path, folder):
    (folder / "cat" / "notes.txt").write_text("meow")
    told = refusal("train", "lenet5", str(folder), "--strict", "--out", str(tmp_path / "run"))
    assert "--strict" in told
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_written_over(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert "holds a run already" in refusal("train", "lenet5", "digits", "--out", str(tmp_path))
    assert (tmp_path / "config.json").read_text() == "{}"


def test_resuming_with_other_settings_is_refused(tmp_path):
    run = tmp_path / "run"
    flags = ["--epochs", "2", "--warmup", "0", "--limit", "40", "--out", str(run)]
    assert app("train", "mlp", "digits", *flags).returncode == 0
    before = (run / "config.json").read_text()
    assert "started with epochs 2, not 3" in refusal("train", "mlp", "digits", "--resume", "--epochs", "3", "--out", str(run))
    assert "started with units 128, not 64" in refusal(
        "train", "mlp", "digits", "--resume", "--set", "units=64", "--out", str(run)
    )
    assert "started with model mlp, not cnn" in refusal("train", "cnn", "digits", "--resume", "--out", str(run))
    assert "ended already" in app("train", "--resume", "--out", str(run)).stdout
    assert (run / "config.json").read_text() == before


def test_two_trainings_do_not_share_a_folder(tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-m", "app", "train", "mlp", "digits", "--epochs", "200", "--out", str(run)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert first.stdout is not None
    try:
        while not first.stdout.readline().startswith("epoch"):
            assert first.poll() is None
        assert "another training is at work" in refusal("train", "mlp", "digits", "--resume", "--out", str(run))
    finally:
        first.kill()
        first.communicate()


def test_evaluate_refuses_data_that_changed_since_the_training(tmp_path):
    """Splits would be drawn anew, and what was trained on be tested on."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (80, 8, 8), np.uint8), rng.integers(0, 2, 80)
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=labels)
    run = str(tmp_path / "run")
    train = ("train", "mlp", str(tmp_path / "mine.npz"), "--epochs", "1", "--warmup", "0", "--out", run)
    assert app(*train).returncode == 0
    assert app("evaluate", run).returncode == 0
    np.savez(tmp_path / "mine.npz", x_train=images[:60], y_train=labels[:60])
    assert "is not what" in refusal("evaluate", run)


def test_a_file_called_latest_is_left_alone(tmp_path):
    (tmp_path / "latest").write_text("precious")
    done = app("train", "mlp", "digits", "--epochs", "1", "--warmup", "0", "--limit", "40", "--out", str(tmp_path / "run"))
    assert done.returncode == 0
    assert (tmp_path / "latest").read_text() == "precious"


@pytest.mark.parametrize("text", ["{}", "[]", "not JSON", '{"format": 99}'])
def test_a_folder_with_a_strange_config_is_no_run(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert "train again" in refusal("compare", str(tmp_path))


def test_a_full_disk_is_told_in_one_line_and_the_run_can_go_on(tmp_path):
    """A limit on file sizes stands for the disk: writing the network's state then fails as it does on a full one."""
    run = tmp_path / "run"
    flags = ["--epochs", "2", "--warmup", "0", "--limit", "60", "--out", str(run)]
    assert (
        app(
            "train", "mlp", "digits", "--epochs", "1", "--warmup", "0", "--limit", "60", "--out", str(tmp_path / "fills")
        ).returncode
        == 0
    )
    done = app("train", "mlp", "digits", *flags, limit_bytes=100_000)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(run.glob(".*partial*"))
    done = app("train", "mlp", "digits", *flags, "--resume")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "metrics.json").read_text())["epochs"] == 2


def test_inspect_tells_programs_the_totals_and_every_layer(tmp_path):
    done = app("inspect", "lenet5", "--json", "--plot", str(tmp_path / "new" / "lenet5.png"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {key: found[key] for key in ("name", "objective", "input_shape", "parameters", "trainable_parameters", "macs")} == {
        "name": "lenet5", "objective": "classification", "input_shape": [32, 32, 1],
        "parameters": 61_706, "trainable_parameters": 61_706, "macs": 416_520,
    }  # fmt: skip
    assert [layer["name"] for layer in found["layers"]][2:4] == ["c1", "s2"]
    assert (tmp_path / "new" / "lenet5.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_of_models_has_figures_and_what_was_reached():
    rows = {row["name"]: row for row in json.loads(app("models", "--json").stdout)}
    assert rows["vgg_d"]["macs"] == 15_470_264_320
    assert rows["lenet5"]["reached"]["mnist"] > 99
    text = app("models").stdout
    assert "15.47 G" in text
    assert f"mnist {rows['lenet5']['reached']['mnist']:.2f}" in text
