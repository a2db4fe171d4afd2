#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quantises networks in many ways, and compares what the codes take with their entropy, as the reference reader decodes them.

    entropy.py TOOLS [INPUTS]        INPUTS: a folder with keras/ and torch/, as NC_INPUTS names it

Checked: a block of codes takes at most 1.02 times its order-0 entropy and 64 bytes; or, where more than 64 different codes occur,
a byte for each of these, since the entropy does not count what it takes to say how often each occurs.
"""
import pathlib, subprocess, sys
import numpy as np
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "spec"))
import ncz

WAYS = [("--max-error", e) for e in (".02", ".1", ".2", ".4", ".6", ".9")]
WAYS += [("--bits", b, "--scale-per", s) for b in ("2", "4", "8") for s in ("tensor", "row")] + [("--levels", k) for k in ("2", "16", "256")]
blocks = []


class Reader(ncz.File):
    def codes(self, part, bits, form, groups):
        stored, codes = part.sizes[part.next], super().codes(part, bits, form, groups)
        counts = np.unique(codes, return_counts=True)[1]
        entropy = (counts * np.log2(counts.sum() / counts)).sum() / 8
        blocks.append((stored, entropy, len(counts)))
        return codes


def main():
    tools = pathlib.Path(sys.argv[1])
    networks = [ROOT / f"fixtures/networks/{name}.h5" for name in ("fashion_300_100", "digits_relu", "digits_branch", "torch_digits.flat")]
    if len(sys.argv) > 2:
        inputs = pathlib.Path(sys.argv[2])
        networks += [inputs / f"keras/{name}/{name}.h5" for name in ("mnist_300_100", "mnist_ht_512", "mnist_conv", "diabetes_reg")]
        networks += [inputs / "torch/torch_mnist/torch_mnist.flat.h5"]
    worst = {False: (0.0, ""), True: (0.0, "")}
    for network in networks:
        for way in WAYS:
            data = subprocess.run([tools / "nc-quantize", "-q", *way, network], stdout=subprocess.PIPE, check=True, timeout=120).stdout
            file = Reader(data)
            for t in (t for t in file.tensors if t["encoding"] == 4):
                blocks.clear()
                file.raw(t["name"])
                for stored, entropy, different in blocks:
                    what, many = f"{network.name}, {' '.join(way)}: {t['name']}", different > 64
                    expect(stored <= 1.02 * entropy + max(64, different), f"{what}: {stored} bytes, entropy {entropy:.0f}, {different} codes")
                    worst[many] = max(worst[many], ((stored - 64) / max(entropy, 1), what))
    for many, (ratio, what) in worst.items():
        print(f"{'More than' if many else 'At most'} 64 codes: (bytes - 64) / entropy at most {ratio:.3f}, {what}")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
