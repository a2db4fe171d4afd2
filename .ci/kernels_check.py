#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ternary networks with the same kernels: how accurate they are, and that every reader computes the same.

    kernels_check.py TOOLS [INPUTS]        INPUTS: a folder with keras/ and data/, as NC_INPUTS names it

Checked on every machine, with the test images that come with the project: nc-run and spec/ncz.py agree, also on the restored file, and nc-verify
finds what is claimed. With INPUTS: test accuracy of trained networks and of random features, fitted to the training images.
"""
import json, pathlib, subprocess, sys, tempfile
import h5py
import numpy as np
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "spec"))
import ncz

tools = pathlib.Path(sys.argv[1]).resolve()
# Least test accuracy of a network's own weights, activations as they are and with three levels; what least squares alone gives is .9469 and .8335.
FLOORS = {"mnist_300_100": (.962, .93), "fashion_300_100": (.868, .825)}
WAYS = ("--weights project --match none", "--weights project", "--weights sample", "--weights seed --widths 400,200,100 --match levels:5",
        "--match sigma-t --sparsity .9", "--weights project --ternarize-readout")


def tool(name, *arguments):
    run = subprocess.run([tools / name, *map(str, arguments)], capture_output=True, timeout=600)
    expect(run.returncode == 0, f"{name} {' '.join(map(str, arguments))}: {run.returncode} {run.stderr.decode()[-300:]}")
    return run.stdout.decode()


def accuracy(network, data):
    return json.loads(tool("nc-run", "-q", "--json", "--data", data, network))["accuracy"]


def outputs(network, data, folder):
    tool("nc-run", "-q", "-f", "--data", data, "-o", folder / "y.h5", network)
    with h5py.File(folder / "y.h5") as file:
        return file["y"][:]


def check_readers(folder):
    source, data = ROOT / "fixtures/networks/fashion_300_100.h5", ROOT / "fixtures/data/fashion_test.h5"
    with h5py.File(data) as file:
        x = file["x"][:500] / 255
    for way in WAYS:
        made, restored = folder / "a.ncz", folder / "a.h5"
        tool("nc-ternarize", "-q", "-f", "--method", "ntk", "--data", data, *way.split(), source, made)
        tool("nc-restore", "-q", "-f", made, restored)
        tool("nc-verify", "-q", "--data", data, source, made)
        ours, again, theirs = outputs(made, data, folder), outputs(restored, data, folder), ncz.predict(str(made), x)
        expect(np.abs(ours[:500] - theirs).max() < 1e-6, f"{way}: nc-run and ncz.predict differ by {np.abs(ours[:500] - theirs).max()}")
        expect(np.abs(ours - again).max() < 1e-6, f"{way}: the restored file differs by {np.abs(ours - again).max()}")


def check_accuracy(inputs, folder):
    for name, floors in FLOORS.items():
        source, images = inputs / f"keras/{name}/{name}.h5", name.split("_")[0]
        for way, floor in zip(WAYS, (*floors, 0)):
            tool("nc-ternarize", "-q", "-f", "--method", "ntk", "--data", inputs / f"data/{images}_train.h5", *way.split(), source, folder / "a.ncz")
            found = accuracy(folder / "a.ncz", inputs / f"data/{images}_test.h5")
            print(f"{name} {way}: {found:.4f}, {(folder / 'a.ncz').stat().st_size} bytes")
            expect(found >= floor, f"{name} {way}: {found}, at least {floor}")
    lines = tool("nc-experiments", "memory", "-q", "--train", inputs / "data/mnist_train.h5", "--test", inputs / "data/mnist_test.h5",
                 "--only", "original,levels-.9,relu-.9").splitlines()
    found = {line["curve"]: line["accuracy"] for line in map(json.loads, lines)}
    print(found)
    expect(found["original"] >= .93, f"random features: {found}")
    expect(found["relu-.9"] >= found["original"] - .005, f"ternary weights, relu: {found}")
    expect(found["levels-.9"] >= max(.885, found["original"] - .05), f"three levels: {found}")


with tempfile.TemporaryDirectory() as name:
    check_readers(pathlib.Path(name))
    if len(sys.argv) > 2:
        check_accuracy(pathlib.Path(sys.argv[2]), pathlib.Path(name))
finish()
