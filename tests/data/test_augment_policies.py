"""Which augmentations there are for each objective, and what is refused."""

import numpy as np
import pytest

from app.data.augment import boxes, masks, pictures, policies
from app.data.augment.policies import enlargement, find_policy, fitted
from app.errors import UserError


@pytest.mark.parametrize(
    ("text", "objective", "told"),
    [
        ("cutmix", "detection", "--augment cutmix does not work on boxes; it takes none, boxes, scenes, microscope, flip, "),
        ("boxes+digits", "detection", "--augment digits does not work on boxes; it takes none, boxes, "),
        ("mosaic", "segmentation", "--augment mosaic does not work on masks; it takes none, masks, "),
        ("flip+mosaic", "classification", "--augment mosaic does not work on whole pictures; it takes none, digits, "),
        ("mosiac", "detection", "no augmentation 'mosiac'; did you mean mosaic"),
        ("maskes", "segmentation", "no augmentation 'maskes'; did you mean masks"),
    ],
)
def test_an_augmentation_of_another_kind_is_refused_with_what_is_accepted(text, objective, told):
    with pytest.raises(UserError) as refused:
        find_policy(text, objective)
    assert str(refused.value).startswith(told)


def test_policies_are_those_of_the_objective():
    assert find_policy("flip") != find_policy("flip", "detection") != find_policy("flip", "segmentation")
    assert find_policy("scenes+flip", "detection") == (boxes.affine, boxes.mosaic, boxes.flip)
    for objective, kind in (("detection", boxes), ("segmentation", masks)):
        mirrors = {kind.flip, kind.flip_vertical}
        assert not mirrors & set(find_policy("scenes", objective))  # digits have a hand
        assert mirrors <= set(find_policy("microscope", objective))
    with_masks = find_policy("scenes+street", "segmentation")
    assert with_masks[1] is masks.flip
    assert with_masks[-1] is pictures.colour


def test_colours_are_fitted_to_the_training_pictures_of_any_objective():
    images = np.random.default_rng(0).uniform(0, 255, (4, 16, 20, 3)).astype(np.float32)
    for objective in policies.POLICIES:
        (colours,) = fitted(find_policy("pca_colour", objective), images, 16)
        np.testing.assert_array_equal(colours.keywords["axes"], pictures.colour_axes(images))
        assert enlargement(find_policy("scales", objective)) == (512 / 224 if objective == "classification" else 1)
