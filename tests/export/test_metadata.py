import io
import struct
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

from app.deploy import INPUT
from app.errors import UserError
from app.export.graph import write_saved_model
from app.export.metadata import Description, aligned, ordered_outputs, read_metadata, with_metadata
from app.runners.silence import silenced

LABELS = ("tabby", "Siamese", "猫", "none: of these", "5")
DESCRIPTION = Description(
    name="Cats", description="Names a cat.", labels=LABELS, version="3", author="A. Person", licence="CC-BY 4.0 ©", threshold=0.25
)
PICTURES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3)).astype(np.float32)


def convert(folder, outputs, settings=lambda converter: None):
    """A small network as the converter leaves it."""
    import tensorflow as tf

    with silenced():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(write_saved_model(network(outputs), folder, batch=1)))
        settings(converter)
        return converter.convert()


def network(outputs):
    keras.utils.set_random_seed(1)
    image = keras.Input((8, 8, 3), name=INPUT)
    hidden = keras.layers.Conv2D(6, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    hidden = keras.layers.Flatten()(hidden)
    answers = {name: keras.layers.Dense(width, activation="softmax")(hidden) for name, width in outputs.items()}
    return keras.Model(image, answers)


def to_fp16(converter):
    import tensorflow as tf

    to_dynamic(converter)
    converter.target_spec.supported_types = [tf.float16]


def to_dynamic(converter):
    import tensorflow as tf

    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def to_int8(converter):
    import tensorflow as tf

    to_dynamic(converter)
    converter.representative_dataset = lambda: ({INPUT: picture[None]} for picture in PICTURES)
    converter.inference_input_type = tf.uint8


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A classifier of five classes in every precision, without metadata."""
    settings = {"fp32": lambda converter: None, "fp16": to_fp16, "dynamic": to_dynamic, "int8": to_int8}
    return {name: convert(tmp_path_factory.mktemp(name) / "x", {"probabilities": 5}, change) for name, change in settings.items()}


@pytest.fixture(scope="module")
def model(converted):
    return converted["fp32"]


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("two") / "x", {"location": 4, "score": 5})


def interpreted(model, picture):
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    [details] = interpreter.get_input_details()
    interpreter.set_tensor(details["index"], picture[None].astype(details["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def compiled(model, picture):
    network = CompiledModel.from_buffer(model)
    [details] = network.get_input_tensor_details("serving_default").values()
    pixels, answers = network.create_input_buffers(0), network.create_output_buffers(0)
    pixels[0].write(picture.astype(details["dtype"]))
    network.run_by_index(0, pixels, answers)
    shapes = [output["shape"] for output in network.get_output_tensor_details("serving_default").values()]
    return [answer.read(int(np.prod(shape)), np.float32) for answer, shape in zip(answers, shapes, strict=True)]


def weights(model):
    """Where the data of every buffer begins, and what it is."""
    network = schema.Model.GetRootAs(model)
    buffers = [network.Buffers(place) for place in range(network.BuffersLength())]
    kept = [buffer for buffer in buffers if not buffer.DataIsNone()]
    return [(buffer._tab.Vector(buffer._tab.Offset(4)), buffer.DataAsNumpy().tobytes()) for buffer in kept]


def altered(model, change):
    """The model with something in its tables changed."""
    import flatbuffers

    network = schema.ModelT.InitFromPackedBuf(model)
    change(network)
    builder = flatbuffers.Builder(1024)
    builder.Finish(network.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def metadata_of(model):
    network = schema.ModelT.InitFromPackedBuf(model)
    [place] = [entry.buffer for entry in network.metadata if entry.name == b"TFLITE_METADATA"]
    return network.buffers[place].data.tobytes()


def test_what_was_written_is_read(model):
    found = read_metadata(with_metadata(model, DESCRIPTION))
    assert found.description == DESCRIPTION
    assert (found.inputs, found.outputs) == (("image",), ("probabilities",))
    assert (found.normalisation, found.min_parser_version) == ((0.0, 1.0), "1.0.0")


def test_empty_texts_are_left_out(model):
    plain = Description(name="Cats", description="", labels=LABELS)
    assert read_metadata(with_metadata(model, plain)).description == plain


def test_a_file_without_metadata_says_nothing(model):
    assert read_metadata(model) is None


def test_fields_have_the_numbers_of_the_published_schema(model):
    """Read here by the numbers alone, since writer and reader share a table that could be wrong for both."""
    data = metadata_of(with_metadata(model, DESCRIPTION))

    def at(place, kind="<I"):
        return struct.unpack_from(kind, data, place)[0]

    def field(table, number):
        vtable = table - at(table, "<i")
        assert 4 + 2 * number < at(vtable, "<H")
        offset = at(vtable + 4 + 2 * number, "<H")
        assert offset, f"field {number} is not set"
        return table + offset

    def to(place):
        return place + at(place)

    def text(place):
        return data[to(place) + 4 : to(place) + 4 + at(to(place))].decode()

    def first(place):  # of a vector of tables
        return to(to(place) + 4)

    def number(place):  # of a vector of one float
        assert at(to(place)) == 1
        return at(to(place) + 4, "<f")

    assert data[4:8] == b"M001"
    root = to(0)
    assert [text(field(root, place)) for place in (0, 1, 2, 4, 5, 7)] == [
        "Cats", "Names a cat.", "3", "A. Person", "CC-BY 4.0 ©", "1.0.0",
    ]  # fmt: skip
    graph = first(field(root, 3))
    picture, answer = first(field(graph, 2)), first(field(graph, 3))
    assert (text(field(picture, 0)), text(field(answer, 0))) == ("image", "probabilities")
    content = to(field(picture, 3))
    assert data[field(content, 0)] == 2  # ImageProperties
    assert data[field(to(field(content, 1)), 0)] == 1  # RGB
    unit = first(field(picture, 4))
    assert data[field(unit, 0)] == 1  # NormalizationOptions
    options = to(field(unit, 1))
    assert (number(field(options, 0)), number(field(options, 1))) == (0, 1)  # mean, deviation
    stats = to(field(picture, 5))
    assert (number(field(stats, 0)), number(field(stats, 1))) == (255, 0)  # most, least
    assert data[field(to(field(answer, 3)), 0)] == 1  # FeatureProperties
    unit = first(field(answer, 4))
    assert data[field(unit, 0)] == 3  # ScoreThresholdingOptions
    assert at(field(to(field(unit, 1)), 0), "<f") == 0.25
    file = first(field(answer, 6))
    assert (text(field(file, 0)), data[field(file, 2)]) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_labels_are_in_an_archive_at_the_end(model):
    with zipfile.ZipFile(io.BytesIO(with_metadata(model, DESCRIPTION))) as archive:
        assert archive.testzip() is None
        [entry] = archive.infolist()
        assert (entry.filename, entry.compress_type, entry.date_time[0]) == ("labels.txt", zipfile.ZIP_STORED, 1980)
        assert archive.read(entry).decode() == "tabby\nSiamese\n猫\nnone: of these\n5\n"


@pytest.mark.parametrize("run", [interpreted, compiled])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "dynamic", "int8"])
def test_a_file_answers_the_same_with_metadata(converted, precision, run):
    before, after = converted[precision], with_metadata(converted[precision], DESCRIPTION)
    answers = []
    with silenced():
        for picture in PICTURES:
            [ours], [theirs] = run(after, picture), run(before, picture)
            np.testing.assert_array_equal(ours, theirs)
            answers.append(ours)
    assert np.ptp(np.concatenate(answers)) > 0.1, "the network answers something"


@pytest.mark.parametrize("write", [lambda model: with_metadata(model, DESCRIPTION), aligned])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_weights_lie_at_multiples_of_sixteen(converted, precision, write):
    before, after = weights(converted[precision]), weights(write(converted[precision]))
    assert {start % 16 for start, _ in after} == {0}
    assert [data for _, data in after[: len(before)]] == [data for _, data in before]


def test_an_integer_file_gets_smaller_and_keeps_every_scale(converted):
    before, after = (schema.ModelT.InitFromPackedBuf(model) for model in (converted["int8"], aligned(converted["int8"])))
    assert len(aligned(converted["int8"])) < len(converted["int8"])
    scaled = 0
    for ours, theirs in zip(after.subgraphs[0].tensors, before.subgraphs[0].tensors, strict=True):
        assert ours.name
        assert theirs.name.startswith(ours.name)
        assert ours.quantization.quantizedDimension == theirs.quantization.quantizedDimension
        for name in ("scale", "zeroPoint"):
            expected = getattr(theirs.quantization, name)
            assert (getattr(ours.quantization, name) is None) == (expected is None)
            if expected is not None:
                assert getattr(ours.quantization, name).tolist() == expected.tolist()
                scaled += 1
    assert scaled > 10


def test_the_same_bytes_come_out_in_another_process(model, tmp_path):
    (tmp_path / "model").write_bytes(model)
    code = f"""
import sys
from pathlib import Path
from app.export.metadata import *
sys.stdout.buffer.write(with_metadata(Path({str(tmp_path / "model")!r}).read_bytes(), {DESCRIPTION!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=120)
    assert done.stdout == with_metadata(model, DESCRIPTION)


def test_metadata_are_replaced(model):
    other = Description(name="Dogs", description="Names a dog.", labels=("a", "b", "c", "d", "e"))
    assert with_metadata(with_metadata(model, other), DESCRIPTION) == with_metadata(model, DESCRIPTION)


@pytest.mark.parametrize("labels", [LABELS[:4], (*LABELS, "6"), ()])
def test_labels_of_another_number_are_refused(model, labels):
    with pytest.raises(UserError, match=f"{len(labels)} labels for 'probabilities', which has 5 values"):
        with_metadata(model, Description(name="Cats", description="", labels=labels))


def test_a_file_with_labels_of_another_number_is_refused(model):
    text = "".join(f"{label}\n" for label in LABELS).encode()
    whole = with_metadata(model, DESCRIPTION)
    assert whole.count(text) == 1
    joined = whole.replace(text, text.replace(b"tabby\nSiamese", b"tabby Siamese"))  # as long as before, a line fewer
    with pytest.raises(UserError, match="missing or damaged"):
        read_metadata(joined)  # the archive's checksum is another
    whole = io.BytesIO(whole[: whole.index(b"PK\x03\x04")])
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("labels.txt", "tabby\nSiamese\n")
    with pytest.raises(UserError, match="2 labels for 'probabilities', which has 5 values"):
        read_metadata(whole.getvalue())


def test_a_file_whose_labels_were_cut_off_is_refused(model):
    whole = with_metadata(model, DESCRIPTION)
    with pytest.raises(UserError, match=r"'labels.txt', which is missing or damaged"):
        read_metadata(whole[: whole.index(b"PK\x03\x04")])


def test_labels_for_an_output_that_is_not_there_are_refused(detector):
    with pytest.raises(UserError, match=r"no output 'probabilities' .* there are: location, score"):
        with_metadata(ordered_outputs(detector, ["location", "score"]), DESCRIPTION)


def test_labels_belong_to_the_output_that_was_said(detector):
    ordered = ordered_outputs(detector, ["location", "score"])
    found = read_metadata(with_metadata(ordered, Description(name="Cats", description="", labels=LABELS, labelled="score")))
    assert (found.outputs, found.description.labelled, found.description.labels) == (("location", "score"), "score", LABELS)


def test_scrambled_outputs_are_put_in_order(detector):
    right = ordered_outputs(detector, ["location", "score"])

    def scramble(network):
        network.subgraphs[0].outputs = network.subgraphs[0].outputs[::-1]

    scrambled = altered(right, scramble)
    picture = PICTURES[0]
    with silenced():
        assert [answer.shape for answer in interpreted(scrambled, picture)] == [(1, 5), (1, 4)]
        restored = interpreted(ordered_outputs(scrambled, ["location", "score"]), picture)
        for ours, theirs in zip(restored, interpreted(right, picture), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert [answer.shape for answer in restored] == [(1, 4), (1, 5)]
        by_name = Interpreter(model_content=ordered_outputs(scrambled, ["score", "location"])).get_signature_runner()
        assert {name: answer.shape for name, answer in by_name(image=picture[None]).items()} == {
            "location": (1, 4), "score": (1, 5),
        }  # fmt: skip


def test_outputs_in_order_stay_as_they_are(model):
    assert ordered_outputs(model, ["probabilities"]) == model


@pytest.mark.parametrize("names", [["location"], ["location", "scores"], ["location", "score", "score"]])
def test_an_order_of_other_outputs_is_refused(detector, names):
    with pytest.raises(UserError, match=r"outputs \['location', 'score'\], not"):
        ordered_outputs(detector, names)
