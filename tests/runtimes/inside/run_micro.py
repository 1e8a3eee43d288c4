"""TensorFlow Lite Micro, as a microcontroller runs it, in the least memory that it accepts: FILE PICTURES ANSWERS."""

import os
import sys

import numpy as np
from tflite_micro.python.tflite_micro.runtime import Interpreter

file, pictures, answers = sys.argv[1:]
KIB = 1024


def fits(kib):
    """Whether so much memory is enough. In a process of its own, because too little can end it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    try:
        Interpreter.from_file(file, arena_size=kib * KIB).invoke()
    except BaseException:
        os._exit(1)
    os._exit(0)


most = 1
while not fits(most):
    most *= 2
    if most > 64 * KIB:
        sys.exit(f"{file} does not fit into {most // 2} KiB, or has an operator that is not known")
least = most // 2
while most - least > 1:
    middle = (most + least) // 2
    least, most = (least, middle) if fits(middle) else (middle, most)

interpreter = Interpreter.from_file(file, arena_size=most * KIB)


def stored(picture, details):
    scale, zero = (details["quantization_parameters"][key][0] for key in ("scales", "zero_points"))
    return np.clip(np.rint(picture / scale) + zero, -128, 127).astype(np.int8)


def real(values, details):
    scale, zero = (details["quantization_parameters"][key][0] for key in ("scales", "zero_points"))
    return (values.astype(np.float32) - zero) * scale


found = []
for picture in np.load(pictures)["pictures"]:
    interpreter.set_input(stored(picture[None].astype(np.float32), interpreter.get_input_details(0)), 0)
    interpreter.invoke()
    found.append(real(interpreter.get_output(0), interpreter.get_output_details(0))[0])
np.savez(answers, probabilities=np.stack(found), note=f"arena {most} KiB")
