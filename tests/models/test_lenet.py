import numpy as np
import pytest

from models.registry import get_model

SIZES = {
    "c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16), "c5": (1, 1, 120), "f6": (84,), "logits": (10,),
}  # fmt: skip


@pytest.mark.parametrize("name", ["lenet5", "lenet5_by_hand", "lenet5_1998"])
@pytest.mark.parametrize("side", [28, 30, 32])
def test_the_maps_have_the_sizes_of_the_papers_figure(name, side):
    network = get_model(name).build((side, side, 1), 10)
    assert {name: network.get_layer(name).output.shape[1:] for name in SIZES} == SIZES


@pytest.mark.parametrize("side", [28, 31])
def test_a_smaller_digit_is_one_in_the_middle_of_a_black_field(side):
    small, whole = (get_model("lenet5").build((size, size, 1), 10) for size in (side, 32))
    whole.set_weights(small.get_weights())
    digits = np.random.default_rng(0).uniform(0, 255, (3, side, side, 1)).astype(np.float32)
    top = (32 - side) // 2
    field = np.pad(digits, ((0, 0), (top, 32 - side - top), (top, 32 - side - top), (0, 0)))
    np.testing.assert_allclose(small(digits), whole(field), rtol=1e-5, atol=1e-6)


def test_larger_pictures_make_larger_maps():
    network = get_model("lenet5").build((40, 40, 3), 10)
    assert network.get_layer("c5").output.shape[1:] == (3, 3, 120)


def test_the_paper_has_sixty_thousand_weights_to_train():
    """Layer by layer as sections II.B and II.C count them."""
    network = get_model("lenet5_1998").build((32, 32, 1), 10)
    counts = {layer.name: sum(int(np.prod(w.shape)) for w in layer.trainable_weights) for layer in network.layers}
    assert {name: count for name, count in counts.items() if count} == {
        "c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164,
    }  # fmt: skip


@pytest.mark.parametrize("pooling", ["average", "max", "min"])
def test_by_hand_it_is_the_same_network(pooling):
    by_hand, ours = (get_model(name).build((28, 28, 1), 10, pooling=pooling) for name in ("lenet5_by_hand", "lenet5"))
    by_hand.set_weights(ours.get_weights())
    assert [layer.name for layer in by_hand.layers] == [layer.name for layer in ours.layers]
    digits = np.random.default_rng(0).uniform(0, 255, (3, 28, 28, 1)).astype(np.float32)
    np.testing.assert_allclose(by_hand(digits), ours(digits), rtol=1e-4, atol=1e-5)
