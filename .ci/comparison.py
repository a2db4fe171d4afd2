#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How well what nc-verify measures says how much accuracy a compressed network loses: tables of spec/results.md.

    comparison.py TOOLS [INPUTS]        INPUTS: a folder with keras/ and data/, as NC_INPUTS names it

All numbers are those of `nc-verify --json --data TEST.h5`; the accuracies are compared with those of nc-run. Under each measure is
its rank correlation with the loss of accuracy (Spearman: 1 if it has the networks in the order of their losses); then the fewest rows
without which it has the others in that order. Pairs of networks whose accuracies differ by less than .002 are not counted.
"""
import itertools, tempfile
from oracle import *
from scipy.stats import spearmanr

tools = pathlib.Path(sys.argv[1]).resolve()
FORMS = ("nc-prune --keep .5", "nc-prune --keep .1", "nc-prune --by node --keep .7", "nc-prune --by node --keep .5", "nc-prune --by singular-value --keep .25", "nc-ternarize")
MEASURES = ("weights", "outputs", "CK", "CK, scaled", "NTK", "NTK, scaled")
plain = lambda value: f"{value:.3f}".lstrip("0") if abs(value) < 10 else f"{value:.3g}"


def weight_error(tensors):
    """Of all matrices together: their norms are those of their singular values."""
    squares = [(np.sum(np.square(t["singular_values"]["a"])), t["relative_l2"]) for t in tensors if t["singular_values"]]
    return np.sqrt(sum(n * e**2 for n, e in squares) / sum(n for n, _ in squares))


def row(network, data, form, packed):
    command, *options = form.split()
    run(tools, command, "-q", "-f", *options, network, packed)
    report = run(tools, "nc-verify", "--json", "--data", data, network, packed)
    outputs, spectrum = (report["parts"][0][key] for key in ("outputs", "spectrum"))
    expect(len(report["parts"]) == 1 and report["claims"] and all(c["status"] == "holds" for c in report["claims"]), f"{network.stem}: {form}: {report['claims']}")
    accuracy = [run(tools, "nc-run", "--json", "--data", data, path)["accuracy"] for path in (network, packed)]
    expect([outputs["accuracy_a"], outputs["accuracy_b"]] == accuracy, f"{network.stem}: {form}: accuracies {outputs['accuracy_a']} and {outputs['accuracy_b']}, nc-run: {accuracy}")
    kernels = [spectrum[kind][key] for kind in ("ck", "ntk") for key in ("relative_spectral_norm", "residual_after_scale")]
    return [weight_error(report["tensors"]), outputs["relative_error"], *kernels], accuracy


def table(network, data, packed):
    rows = [row(network, data, form, packed) for form in FORMS]
    measures, losses = np.array([m for m, _ in rows]), np.array([a - b for _, (a, b) in rows])
    print(f"\n| `{network.stem}` | {' | '.join(MEASURES)} | accuracy |\n|{'---|' * (len(MEASURES) + 2)}")
    print(f"| | {'| ' * len(MEASURES)}{rows[0][1][0]:.4f} |".replace(" 0.", " ."))
    for form, values, (_, (_, accuracy)) in zip(FORMS, measures, rows):
        print(f"| `{form}` | {' | '.join(map(plain, values))} | {accuracy:.4f} |".replace(" 0.", " ."))
    correlations = [spearmanr(column, losses).statistic for column in measures.T]
    print(f"| rank correlation with the loss of accuracy | {' | '.join(f'{c:.2f}' for c in correlations)} | |\n".replace(" 0.", " .").replace(" -0.", " −."))
    counted = [(i, j) for i, j in itertools.permutations(range(len(FORMS)), 2) if losses[i] <= losses[j] - .002 + 1e-12]
    print(f"Of the {len(FORMS) * (len(FORMS) - 1) // 2} pairs, the {len(counted)} whose accuracies differ by .002 or more are counted.\n")
    for name, column in zip(MEASURES, measures.T):
        wrong = [{i, j} for i, j in counted if column[i] > column[j]]
        fewest = min(map(set, subsets(range(len(FORMS)))), key=lambda rows: (any(not pair & rows for pair in wrong), len(rows), -sum(len(pair & rows) for pair in wrong)))
        print(f"- {name}: {len(wrong)} of {len(counted)} pairs in the wrong order" + (f", without {' and '.join(f'`{FORMS[i]}`' for i in sorted(fewest))} none." if wrong else "."))


def subsets(rows):
    return itertools.chain.from_iterable(itertools.combinations(rows, n) for n in range(len(rows) + 1))


def main():
    cases = [(ROOT / "fixtures/networks/fashion_300_100.h5", ROOT / "fixtures/data/fashion_test.h5")]
    if len(sys.argv) > 2:
        inputs = pathlib.Path(sys.argv[2])
        cases += [(inputs / f"keras/{name}/{name}.h5", inputs / "data/mnist_test.h5") for name in ("mnist_300_100", "mnist_ht_512")]
    with tempfile.TemporaryDirectory() as folder:
        for network, data in cases:
            table(network, data, pathlib.Path(folder) / "packed.ncz")
    print()
    return finish()


if __name__ == "__main__":
    sys.exit(main())
