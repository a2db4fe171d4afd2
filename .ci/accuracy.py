#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prunes the networks whose test set is at hand, restores them, and has Keras say how well they still do.

    accuracy.py TOOLS [INPUTS]        INPUTS: a folder with keras/ and data/, as NC_INPUTS names it

Checked: pruned weights are those that NumPy keeps; accuracies agree with those published, where there are any; a network of
reduced shape predicts what the one of the original shape does; in the bytes of ternary weights, a grid with one step loses less. Printed: the first table of spec/results.md.
"""
import os, pathlib, subprocess, sys, tempfile
os.environ["KERAS_BACKEND"] = "numpy"
import h5py, keras
import numpy as np
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEEPS = (".5", ".2", ".1", ".05")
# Measured by those who trained them: the largest weights of each matrix kept, nothing retrained.
PUBLISHED = {"mnist_300_100": (.9799, .9516, .7937, .4414), "mnist_ht_512": (.9725, .9713, .9537, .7365)}
tools = pathlib.Path(sys.argv[1]).resolve()


def pipeline(source, target, *commands):
    """Runs tools one into the other; the bytes of the first result, before nc-restore."""
    data = source.read_bytes()
    for number, command in enumerate(commands):
        data = subprocess.run([tools / command[0], "-q", *command[1:]], input=data, stdout=subprocess.PIPE, check=True, timeout=120).stdout
        if number == 0:
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
    size = pipeline(source, restored, ("nc-ternarize",), ("nc-restore",))
    ternary, _ = accuracy(restored, x, y)
    print(f"  nc-ternarize: {size} bytes, accuracy {ternary:.4f}")
    for options in ((), ("--bits", "4"), ("--levels", "16"), ("--target-size", str(size))):
        size = pipeline(source, restored, ("nc-quantize", *options), ("nc-restore",))
        found, _ = accuracy(restored, x, y)
        print(f"  nc-quantize {' '.join(options)}: {size} bytes, accuracy {found:.4f}")
    expect(found > ternary, f"{name}: nc-quantize {' '.join(options)}: accuracy {found}, ternary {ternary}")
    size = pipeline(source, restored, ("nc-prune", "--keep", ".3"), ("nc-ternarize",), ("nc-restore",))
    zeros = [w == 0 for w in kernels(restored)]
    size = len(subprocess.run([tools / "nc-ternarize", "-q"], input=subprocess.run([tools / "nc-prune", "-q", "--keep", ".3", source], stdout=subprocess.PIPE, check=True).stdout, stdout=subprocess.PIPE, check=True).stdout)
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
