#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prunes the networks whose test set is at hand, restores them, and has Keras say how well they still do.

    accuracy.py TOOLS [INPUTS]        INPUTS: a folder with keras/ and data/, as NC_INPUTS names it

Checked: pruned weights are those that NumPy keeps; accuracies agree with those published, where there are any; a network of
reduced shape predicts what the one of the original shape does; quantised networks of given sizes are as accurate as they
should be. Printed: the first tables of spec/results.md.
"""
import os, pathlib, re, subprocess, sys, tempfile
os.environ["KERAS_BACKEND"] = "numpy"
import h5py, keras
import numpy as np
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEEPS = (".5", ".2", ".1", ".05")
# Measured by those who trained them: the largest weights of each matrix kept, nothing retrained.
PUBLISHED = {"mnist_300_100": (.9799, .9516, .7937, .4414), "mnist_ht_512": (.9725, .9713, .9537, .7365)}
# Size of the whole file in bytes, and the least mean accuracy of the steps around it.
FLOORS = {"mnist_300_100": ((25_000, .972), (63_000, .978)), "fashion_300_100": ((56_000, .872), (80_000, .881)), "mnist_ht_512": ((55_000, .971),)}
METHODS = ((("nc-prune", "--keep", "1", "--values", "float16"),), (("nc-quantize", "--bits", "8", "--scale-per", "tensor"),),
           (("nc-quantize", "--bits", "8"),), (("nc-quantize", "--bits", "4"),), (("nc-quantize", "--levels", "16"),), (("nc-quantize",),),
           (("nc-prune", "--keep", ".1"), ("nc-quantize", "--levels", "16")))
tools = pathlib.Path(sys.argv[1]).resolve()


def pipeline(source, target, *commands):
    """Runs tools one into the other; the bytes of the last result before nc-restore."""
    data = source.read_bytes()
    for command in commands:
        data = subprocess.run([tools / command[0], "-q", *command[1:]], input=data, stdout=subprocess.PIPE, check=True, timeout=120).stdout
        if command[0] != "nc-restore":
            size = len(data)
    target.write_bytes(data)
    return size


def accuracy(path, x, y):
    network = keras.models.load_model(path, compile=False)
    predictions = np.concatenate([np.asarray(network.predict_on_batch(x[i:i + 1000])) for i in range(0, len(x), 1000)])
    return (predictions.argmax(1) == y).mean(), predictions


def kernels(path):
    return [np.asarray(w.value) for w in keras.models.load_model(path, compile=False).weights if w.value.ndim == 2]


def pruned(w, keep):
    """The ⌈keep·n⌉ largest magnitudes of a matrix, lower indices first among equals."""
    count = -(-round(float(keep) * 100) * w.size // 100)
    order = np.argsort(-np.abs(w), axis=None, kind="stable")
    result = np.zeros(w.size, w.dtype)
    result[order[:count]] = w.ravel()[order[:count]]
    return result.reshape(w.shape)


def check(source, data, folder):
    name, restored, reduced = source.stem, folder / "restored.h5", folder / "reduced.h5"
    with h5py.File(data) as file:
        x, y = file["x"][...].reshape(len(file["y"]), -1).astype(np.float32) / 255, file["y"][...]
    first, _ = accuracy(source, x, y)
    print(f"{name}: {source.stat().st_size} bytes, accuracy {first:.4f}")
    for position, keep in enumerate(KEEPS):
        size = pipeline(source, restored, ("nc-prune", "--keep", keep), ("nc-restore",))
        for before, after in zip(kernels(source), kernels(restored), strict=True):
            expect(pruned(before, keep).tobytes() == after.tobytes(), f"{name}: --keep {keep}: not the largest weights")
        found, _ = accuracy(restored, x, y)
        print(f"  --keep {keep}: {size} bytes, accuracy {found:.4f}")
        if name in PUBLISHED:
            expect(abs(found - PUBLISHED[name][position]) <= .005, f"{name}: --keep {keep}: accuracy {found}, published {PUBLISHED[name][position]}")
    for options in (("--by", "singular-value", "--keep", ".25"), ("--by", "singular-value", "--keep", ".1"),
                    ("--keep", ".1", "--values", "float16"), ("--keep", ".2", "--values", "ternary")):
        size = pipeline(source, restored, ("nc-prune", *options), ("nc-restore",))
        print(f"  {' '.join(options)}: {size} bytes, accuracy {accuracy(restored, x, y)[0]:.4f}")
    ternary = pipeline(source, restored, ("nc-ternarize",), ("nc-restore",)), accuracy(restored, x, y)[0]
    print(f"  nc-ternarize: {ternary[0]} bytes, accuracy {ternary[1]:.4f}")
    size = pipeline(source, restored, ("nc-prune", "--keep", ".3"), ("nc-ternarize",), ("nc-restore",))
    zeros = [w == 0 for w in kernels(restored)]
    print(f"  --keep .3 | nc-ternarize: {size} bytes, accuracy {accuracy(restored, x, y)[0]:.4f}")
    for before, zero in zip(kernels(source), zeros, strict=True):
        expect(zero[pruned(before, ".3") == 0].all(), f"{name}: a pruned weight came back")
    for keep in (".7", ".5"):
        size = pipeline(source, restored, ("nc-prune", "--by", "node", "--keep", keep), ("nc-restore",))
        pipeline(source, reduced, ("nc-prune", "--by", "node", "--keep", keep), ("nc-restore", "--shape", "reduced"))
        found, predictions = accuracy(restored, x, y)
        again, others = accuracy(reduced, x, y)
        print(f"  --by node --keep {keep}: {size} bytes (reduced .h5: {reduced.stat().st_size}), accuracy {found:.4f}")
        expect(np.abs(predictions - others).max() <= 1e-5, f"{name}: reduced, predictions differ by {np.abs(predictions - others).max()}")
        expect(reduced.stat().st_size < source.stat().st_size, f"{name}: the reduced file is no smaller")
    check_quantized(source, x, y, ternary, folder)


def steps_around(source, size, folder):
    """Seven steps 5 % apart, of which the middle one is the smallest that fits the size: the accuracy of none decides which they are."""
    notes = subprocess.run([tools / "nc-quantize", "-f", "--target-size", str(size), source, folder / "middle.ncz"], stderr=subprocess.PIPE, text=True, check=True).stderr
    middle = float(re.search(r"--step (\S+) gives", notes)[1])
    return [middle * 1.05**i for i in range(-3, 4)]


def check_quantized(source, x, y, ternary, folder):
    name, restored = source.stem, folder / "quantized.h5"

    def measured(*commands):
        size = pipeline(source, restored, *commands, ("nc-restore",))
        return size, accuracy(restored, x, y)[0]

    for size, floor in FLOORS[name]:
        results = [measured(("nc-quantize", "--step", repr(step))) for step in steps_around(source, size, folder)]
        sizes, found = zip(*results)
        mean = np.mean(found)
        print(f"  nc-quantize, seven steps around {size} bytes: {min(sizes)} to {max(sizes)} bytes, mean {np.mean(sizes):.0f}, "
              f"accuracy {min(found):.4f} to {max(found):.4f}, mean {mean:.4f}")
        expect(mean >= floor, f"{name}: accuracy {mean} around {size} bytes, not {floor}")
    for commands in METHODS:
        size, found = measured(*commands)
        print(f"  {' | '.join(' '.join(command) for command in commands)}: {size} bytes, accuracy {found:.4f}")
    size, found = measured(("nc-quantize", "--target-size", str(ternary[0])))
    print(f"  nc-quantize --target-size {ternary[0]}: {size} bytes, accuracy {found:.4f}")
    expect(size <= ternary[0] and found > ternary[1], f"{name}: {found} with {size} bytes, ternary {ternary[1]} with {ternary[0]}")


def main():
    cases = [(ROOT / "fixtures/networks/fashion_300_100.h5", ROOT / "fixtures/data/fashion_test.h5")]
    if len(sys.argv) > 2:
        inputs = pathlib.Path(sys.argv[2])
        cases += [(inputs / f"keras/{name}/{name}.h5", inputs / "data/mnist_test.h5") for name in PUBLISHED]
    for source, data in cases:
        with tempfile.TemporaryDirectory() as folder:
            check(source, data, pathlib.Path(folder))
    return finish()


if __name__ == "__main__":
    sys.exit(main())
