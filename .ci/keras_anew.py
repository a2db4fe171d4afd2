#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Restores every Keras file in FOLDERs that has a configuration from a `.ncz` without container, so that it is built anew from its network, and compares the predictions
of real Keras: those of the new file with those of the source, and after nc-ternarize with those of the file that a container restores.

    keras_anew.py TOOLS FOLDER…

Says of each file whether they are equal bit for bit, or how far they are from each other (more than 1e-6 fails); `plain` are those that Keras has no layers for, with the reason.
"""
import pathlib, re, subprocess, sys
import keras_check                                      # chooses Keras's backend first
import keras
import numpy as np


def run(*command):
    return subprocess.run([keras_check.tools / command[0], *command[1:]], check=True, timeout=120, stderr=subprocess.PIPE, text=True).stderr


class Plain(Exception):
    pass


def anew(source, packed, built, *command):
    run(*command, "-q", "-f", "--container", "none", source, packed)
    said = run("nc-restore", "-f", packed, built)
    if "as plain HDF5" in said:
        raise Plain(re.search("as plain HDF5: (.*)", said)[1])
    return keras.models.load_model(built, compile=False)


def predictions(source, model):
    known = list(source.parent.glob(source.name.split(".")[0] + ".ref.h5"))
    if known and len(model.inputs) == 1:
        x = keras_check.inputs(source, model)
    else:
        random = np.random.default_rng(1)
        x = [random.standard_normal([16] + [n or 8 for n in each.shape[1:]]).astype(np.float32) for each in model.inputs]
        x = x if len(x) > 1 else x[0]
    y = model.predict(x, verbose=0)
    return [np.asarray(each).astype(np.float64) for each in (y if isinstance(y, list) else [y])]


def difference(source, model, other):
    a, b = predictions(source, model), predictions(source, other)
    if [y.shape for y in a] != [y.shape for y in b]:
        raise AssertionError(f"shapes {[y.shape for y in a]} and {[y.shape for y in b]}")
    worst = max(float(np.max(np.abs(y - z), initial=0)) for y, z in zip(a, b))
    if not worst <= 1e-6:
        raise AssertionError(f"predictions differ by {worst}")
    return worst


def check(source, folder):
    if keras_check.architecture(source) != source:
        raise keras_check.Skipped("no configuration")
    original = keras_check.model(source)
    packed, built, restored = folder / "net.ncz", folder / "built.h5", folder / ("restored" + source.suffix)
    whole = difference(source, original, anew(source, packed, built, "nc-prune", "--keep", "1"))
    size = packed.stat().st_size
    ternary = anew(source, packed, built, "nc-ternarize")
    run("nc-ternarize", "-q", "-f", source, packed)
    run("nc-restore", "-q", packed, restored)
    changed = difference(source, keras.models.load_model(restored, compile=False), ternary)
    return f"{size} bytes; {'equal' if whole == 0 else f'{whole:.1e}'}, ternary {'equal' if changed == 0 else f'{changed:.1e}'}"


def main():
    return keras_check.each(sorted(path for folder in sys.argv[2:] for path in pathlib.Path(folder).rglob("*")
                                   if path.suffix in (".h5", ".hdf5", ".keras") and not re.search(r"\.ref\.h5$", path.name)),
                            check, {keras_check.Skipped: "skipped", Plain: "plain"})


if __name__ == "__main__":
    sys.exit(main())
