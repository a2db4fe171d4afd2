#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the default of nc-quantize --max-error rests on: the accuracy that networks lose by the error of their weights.

    max_error.py TOOLS INPUTS        INPUTS: a folder with keras/, torch/ and data/, as NC_INPUTS names it

For each error, seven steps 5 % apart with the one that nc-quantize takes for it in the middle: their mean loss in points, on 20,000
training images and on the first 5,000 test images. The other 5,000 test images are read for the default alone. Takes minutes;
.ci/run leaves it out.
"""
import os, pathlib, subprocess, sys, tempfile
os.environ["KERAS_BACKEND"] = "jax"
import h5py, keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "spec"))
import ncz

tools, inputs = (pathlib.Path(argument) for argument in sys.argv[1:])
NETWORKS = (("fashion_300_100", "fashion"), ("mnist_300_100", "mnist"), ("mnist_ht_512", "mnist"), ("mnist_conv", "mnist"), ("torch_mnist", "mnist"))
ERRORS, DEFAULT = (".05", ".1", ".15", ".2", ".25", ".3", ".4"), ".2"


def images(name, first, last):
    with h5py.File(inputs / f"data/{name}.h5") as file:
        return file["x"][first:last].reshape(last - first, -1).astype(np.float32) / 255, file["y"][first:last]


def accuracy(path, x, y):
    """In points."""
    if path.name.startswith("torch"):
        with h5py.File(path) as file:
            for layer in ("fc1", "fc2", "fc3"):
                x = np.maximum(x, 0) @ file[f"{layer}.weight"][...].T + file[f"{layer}.bias"][...]
    else:
        network = keras.models.load_model(path, compile=False)
        x = x.reshape(-1, *network.input_shape[1:])
        x = np.concatenate([np.asarray(network.predict_on_batch(x[i:i + 1000])) for i in range(0, len(x), 1000)])
    return 100 * (x.argmax(1) == y).mean()


def main():
    table, last = {"training": [], "test, first half": []}, []
    for name, data in NETWORKS:
        source = inputs / (f"torch/{name}/{name}.flat.h5" if name.startswith("torch") else f"keras/{name}/{name}.h5")
        sets = {"training": images(f"{data}_train", 0, 20_000), "test, first half": images(f"{data}_test", 0, 5_000)}
        whole = {which: accuracy(source, *xy) for which, xy in sets.items()}
        losses = {which: [] for which in sets}
        with tempfile.TemporaryDirectory() as folder:
            small, restored = pathlib.Path(folder) / "small.ncz", pathlib.Path(folder) / f"{name}.h5"

            def quantize(*options):
                subprocess.run([tools / "nc-quantize", "-q", "-f", *options, source, small], check=True)
                subprocess.run([tools / "nc-restore", "-q", "-f", small, restored], check=True)

            for error in ERRORS:
                quantize("--max-error", error)
                step, size = float(ncz.load(small).steps[-1]["options"].split()[-1]), small.stat().st_size
                of_steps = {which: [] for which in sets}
                for i in range(-3, 4):
                    quantize("--step", repr(step * 1.05**i))
                    for which, xy in sets.items():
                        of_steps[which].append(whole[which] - accuracy(restored, *xy))
                for which in sets:
                    losses[which].append(np.mean(of_steps[which]))
                print(f"{name} {error}: {size} bytes, " + ", ".join(f"{which}: {losses[which][-1]:.2f} (one step {of_steps[which][3]:.2f})" for which in sets), flush=True)
            quantize("--max-error", DEFAULT)
            other = images(f"{data}_test", 5_000, 10_000)
            last.append(accuracy(source, *other) - accuracy(restored, *other))
            print(f"{name}: the other 5,000 test images at {DEFAULT}: {last[-1]:.2f}", flush=True)
        for which in sets:
            table[which].append(losses[which])
    for which, rows in table.items():
        print(f"mean, {which}:", " ".join(f"{error}: {loss:.3f}" for error, loss in zip(ERRORS, np.mean(rows, 0))))
    print(f"mean, the other half of the test images at {DEFAULT}: {np.mean(last):.3f}")


if __name__ == "__main__":
    main()
