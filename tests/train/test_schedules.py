import math
from typing import get_args

import keras
import numpy as np
import pytest

from app.config import make_config
from app.train.schedules import make_schedule
from models.spec import Schedule

STEPS, WARMUP, PEAK = 100, 20, 0.4  # 10 epochs of 10 steps, 2 of them warm-up
AFTER = STEPS - WARMUP
CLOSED = {
    "constant": lambda step: PEAK,
    "cosine": lambda step: PEAK * (1 + math.cos(math.pi * (step - WARMUP) / AFTER)) / 2,
    "exponential": lambda step: PEAK * 0.01 ** ((step - WARMUP) / AFTER),
    "step": lambda step: PEAK * (1 if step < WARMUP + AFTER / 2 else 0.1 if step < WARMUP + AFTER * 3 / 4 else 0.01),
}


def schedule(kind, **flags):
    flags = {"epochs": 10, "warmup": 2.0, "learning_rate": PEAK, "schedule": kind} | flags
    return make_schedule(make_config("mlp", "digits", flags), 10)


def test_every_schedule_has_a_closed_formula_here():
    assert set(get_args(Schedule)) == {*CLOSED, "plateau"}


@pytest.mark.parametrize("kind", CLOSED)
def test_the_rate_rises_evenly_to_its_peak(kind):
    rates = [float(schedule(kind)(step)) for step in (0, 1, 7, 19)]
    np.testing.assert_allclose(rates, [0, PEAK / WARMUP, PEAK * 7 / WARMUP, PEAK * 19 / WARMUP], rtol=1e-5)


@pytest.mark.parametrize("kind", CLOSED)
def test_the_course_after_the_warm_up_follows_its_formula(kind):
    for step in (20, 21, 40, 59, 60, 61, 79, 80, 81, 99, 100):
        assert float(schedule(kind)(step)) == pytest.approx(CLOSED[kind](step), rel=1e-4, abs=1e-7), step


@pytest.mark.parametrize(("kind", "share"), [("constant", 1), ("cosine", 0), ("exponential", 0.01), ("step", 0.01)])
def test_the_rate_stays_at_its_end(kind, share):
    assert [float(schedule(kind)(step)) for step in (100, 140)] == pytest.approx([share * PEAK] * 2, abs=1e-7)


@pytest.mark.parametrize("kind", CLOSED)
def test_without_warm_up_the_first_step_has_the_peak(kind):
    assert float(schedule(kind, warmup=0.0)(0)) == pytest.approx(PEAK)


def test_a_part_of_an_epoch_can_be_warm_up():
    rates = [float(schedule("constant", warmup=0.25)(step)) for step in (0, 1, 2, 3)]
    np.testing.assert_allclose(rates, [0, PEAK / 2.5, PEAK * 2 / 2.5, PEAK], rtol=1e-6)


def test_plateau_starts_at_the_rate_itself():
    assert schedule("plateau", warmup=0.0) == PEAK


def test_a_course_survives_serialisation():
    course = schedule("cosine")
    again = type(course).from_config(course.get_config())
    assert isinstance(again, keras.optimizers.schedules.LearningRateSchedule)
    assert [float(again(step)) for step in (3, 50)] == [float(course(step)) for step in (3, 50)]
