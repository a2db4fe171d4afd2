#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory: on one large matrix, in both orientations, each tool stays within the file that it maps and 256 MiB. The
exceptions: singular values, which are not measured here; and `--levels`, which sorts a copy of the weights, as `nc-verify` does to check it.

    python3 memory.py TOOLS [--mebibytes N]
"""
import argparse, os, pathlib, subprocess, sys, tempfile
import h5py, numpy
from counting import expect, finish

parser = argparse.ArgumentParser()
parser.add_argument("tools")
parser.add_argument("--mebibytes", type=int, default=256)
options = parser.parse_args()


def network(path, hidden):
    """Two layers: a large one, and one with 2 outputs."""
    random = numpy.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for name, shape in (("a", (options.mebibytes * (1 << 18) // hidden, hidden)), ("b", (hidden, 2))):
            kernel = file.create_dataset(f"{name}/kernel", shape, "f4")
            for first in range(0, shape[0], 256):
                kernel[first:first + 256] = random.standard_normal((min(256, shape[0] - first), shape[1]), dtype="f4")
            file[f"{name}/bias"] = numpy.zeros(shape[1], "f4")
    return path


def peak(*arguments):
    """The most memory that a tool, or a child of it, has at once."""
    process = subprocess.Popen([f"{options.tools}/{arguments[0]}", *map(str, arguments[1:])], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    expect(process.returncode in (0, 1), f"{' '.join(map(str, arguments))}: status {process.returncode}")
    return usage.ru_maxrss << 10


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for hidden in (64, 8192):
        source = network(folder / "in.h5", hidden)
        out, other = folder / "out.ncz", folder / "out.h5"
        limit = source.stat().st_size + (256 << 20)
        for command in (
            ("nc-ternarize",), ("nc-ternarize", "--scale-per", "64"), ("nc-prune", "--keep", ".1"), ("nc-prune", "--max-error", ".3"),
            ("nc-prune", "--scope", "network", "--keep", ".5"), ("nc-prune", "--keep", ".5", "--values", "float16"),
            ("nc-prune", "--target-size", f"{options.mebibytes // 2}Mi"),
            ("nc-prune", "--by", "node", "--activation", "relu", "--keep", ".7"), ("nc-prune", "--keep", ".95"),
            ("nc-quantize",), ("nc-quantize", "--levels", "16"),
        ):
            taken = [(" ".join(command), peak(command[0], "-q", "-f", *command[1:], source, out))]
            taken.append(("nc-restore", peak("nc-restore", "-q", "-f", out, other)))
            taken.append(("nc-restore --layout plain", peak("nc-restore", "-q", "-f", "--layout", "plain", out, other)))
            taken.append(("nc-verify", peak("nc-verify", "-q", "--fast", "--measure", "weights", source, out)))
            taken.append(("nc-info --test", peak("nc-info", "--test", out)))
            if "node" in command:
                for shape in ("container", "plain"):
                    options_of_shape = ("--shape", "reduced", "--layout", shape)
                    taken.append((f"nc-restore {' '.join(options_of_shape)}", peak("nc-restore", "-q", "-f", *options_of_shape, out, other)))
            copied = source.stat().st_size if "--levels" in command else 0
            for name, most in taken:
                expect(most <= limit + copied, f"{source.stat().st_size >> 20} MiB, {hidden} wide, {name} after {' '.join(command)}: {most >> 20} MiB, at most {limit + copied >> 20}")
            print(f"{hidden:5} {' '.join(command):50}", *(f"{most >> 20:5}" for _, most in taken), "MiB", flush=True)
sys.exit(finish())
