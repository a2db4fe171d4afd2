#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures networks with one hidden layer, with nc-verify and without it: mean squares of the outputs, and of what two networks
differ by, over Gaussian inputs.

    population.py TOOLS

Each pair of networks is measured twice more: by a million random inputs, to four standard errors; and by a quadrature of
E[s(u) E[t(v) | u]], u and v Gaussian, to 1e-8. The inner expectation is a textbook's, the outer integral is cut at every kink.
"""
import concurrent.futures, tempfile
from oracle import *
from scipy.stats import norm

tools = pathlib.Path(sys.argv[1]).resolve()
folder = tempfile.TemporaryDirectory()
scratch = pathlib.Path(folder.name)
GAUSS = np.polynomial.legendre.leggauss(16)
LADDER = np.array([-9, -6, -4, -2.5, -1.2, 0, 1.2, 2.5, 4, 6, 9.0])
PAIRS, SAMPLES, CHUNK = 216, 10**6, 20000
STEPS = "steps:-1/-.75/-.25/0/.5/1.5/2"


# Exact expectations

def kinks(name):
    """Where the function is not smooth."""
    return [float(t) for t in name.partition(":")[2].split("/")[1::2]] if name.startswith("steps") else [0.0]


def given(name, mean, deviation):
    """E t(v), v Gaussian."""
    kind, _, parameter = name.partition(":")
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(deviation > 0, mean / deviation, np.sign(mean) * np.inf)
        z = np.where((deviation == 0) & (mean == 0), -np.inf, z)
        rectified = np.where(deviation > 0, mean * norm.cdf(z) + deviation * norm.pdf(z), np.maximum(mean, 0))
        match kind:
            case "linear": return mean + 0 * deviation
            case "relu": return rectified
            case "leaky_relu": return float(parameter) * mean + (1 - float(parameter)) * rectified
            case "abs": return 2 * rectified - mean
            case "erf": return special.erf(mean / np.sqrt(1 + 2 * deviation**2))
            case "step": return norm.cdf(z)
            case "sign": return np.where((deviation == 0) & (mean == 0), 0.0, 2 * norm.cdf(z) - 1)
            case "steps":
                numbers = [float(n) for n in parameter.split("/")]
                above = [np.where(deviation > 0, norm.cdf((mean - t) / np.where(deviation > 0, deviation, 1)), mean > t) for t in numbers[1::2]]
                return numbers[0] + sum((b - a) * p for a, b, p in zip(numbers[::2], numbers[2::2], above))


def expectations(name, w, b):
    """E s(w_i·x + b_i) s(w_j·x + b_j), and E s(w_i·x + b_i)."""
    n, s = len(w), activation(name)
    norms = np.linalg.norm(w, axis=1)
    unit = w / np.where(norms > 0, norms, 1)[:, None]
    along = unit @ w.T                                                     # of v along u
    across = np.linalg.norm(w[None, :, :] - along[:, :, None] * unit[:, None, :], axis=2)
    across[across < 1e-13 * norms[None, :]] = 0
    first, second, slope, deviation = b[:, None] + 0 * along, b[None, :] + 0 * along, along, across
    cuts = [np.broadcast_to(c, (n, n)) for c in np.linspace(-9.5, 9.5, 13)]
    with np.errstate(divide="ignore", invalid="ignore"):
        for t in kinks(name):
            at, width = (t - first) / norms[:, None], (1 / norms[:, None]) * (name == "erf")
            cuts += [at + width * c for c in (LADDER if name == "erf" else [0])]
            at, width = (t - second) / slope, np.sqrt(deviation**2 + .5 * (name == "erf")) / np.abs(slope)
            cuts += [at + width * c for c in LADDER]
    cuts = np.sort(np.clip(np.nan_to_num(np.array(cuts), nan=9.5, posinf=9.5, neginf=-9.5), -9.5, 9.5), axis=0)
    half, middle = (cuts[1:] - cuts[:-1]) / 2, (cuts[1:] + cuts[:-1]) / 2
    x = middle[..., None] + half[..., None] * GAUSS[0]
    values = s(first[..., None] + norms[:, None, None] * x) * given(name, second[..., None] + slope[..., None] * x, deviation[..., None]) * norm.pdf(x)
    return np.einsum("pijg,g,pij->ij", values, GAUSS[1], half), given(name, b, norms)


def exact(name, nets):
    """E‖f‖² and E‖f − g‖² of two networks; and a measure of how much of them is left after cancellation."""
    (w, b, a, c), (v, d, e, f) = nets
    products, means = expectations(name, np.vstack([w, v]), np.concatenate([b, d]))
    gram = np.block([[products, means[:, None]], [means[None, :], np.ones((1, 1))]])
    own = np.concatenate([a, 0 * e, c[:, None]], 1)
    difference = np.concatenate([a, -e, (c - f)[:, None]], 1)
    size = lambda m: np.einsum("oi,ij,oj->", np.abs(m), np.abs(gram), np.abs(m))
    return [(np.einsum("oi,ij,oj->", m, gram, m), size(m)) for m in (own, difference)]


# Networks

def networks(generator, number):
    """A pair: an activation, and twice weights and biases of both layers."""
    name = ["relu", "leaky_relu:.2", "abs", "erf", "step", "sign", "linear", STEPS, "leaky_relu:-.5", "steps:0/.125/1"][number % 10]
    inputs, nodes, outputs, biased = *(int(n) for n in generator.integers(1, 6, 2)), int(generator.integers(1, 4)), generator.random() < .75

    def random(nodes, scale=1.0):
        return [scale * generator.standard_normal((nodes, inputs)) / np.sqrt(inputs), biased * generator.standard_normal(nodes) * .7,
                generator.standard_normal((outputs, nodes)), biased * generator.standard_normal(outputs)]

    a, kind = random(nodes), number // 10 % 8
    match kind:
        case 0: b = random(nodes)
        case 1: b = random(nodes + 2)
        case 2: b = [m + 1e-3 * generator.standard_normal(m.shape) * (biased or m.ndim == 2) for m in a]
        case 3: b = [np.round(2 * m) / 2 for m in a]
        case 4:                                          # the same function, its nodes in another order
            order = generator.permutation(nodes)
            b = [a[0][order], a[1][order], a[2][:, order], a[3]]
        case 5:                                          # nodes that are parallel, opposite, without weights
            a = random(4, 2.0)
            a[0][1], a[0][2], a[0][3] = 1.5 * a[0][0], -a[0][0], 0
            b = [m.copy() for m in a]
            b[0][1] *= .5
        case 6: b = random(nodes, 20.0)
        case 7: b = random(nodes, .01)
    return name, (a, b)


def written(path, net):
    with h5py.File(path, "w") as file:
        for key, value in zip(("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"), net):
            file[key] = np.asarray(value, float)
    return path


def measured(number, name, nets):
    a, b = (written(scratch / f"{number}{letter}.h5", net) for letter, net in zip("ab", nets))
    report = run(tools, "nc-verify", "--json", "--measure", "weights,outputs", "--activation", name, a, b, status=(0, 1), seconds=60)
    return report["parts"][0]["outputs"] | {"verdict": report["verdict"]}


def sampled(x, name, nets):
    """The same two by random inputs: mean and standard error."""
    s, sums = activation(name), np.zeros((2, 2))
    for chunk in x:                                      # inputs × samples
        f, g = (a @ s(w @ chunk[:w.shape[1]] + b[:, None]) + c[:, None] for w, b, a, c in nets)
        for k, y in enumerate((f, f - g)):
            squares = (y * y).sum(0)
            sums[k] += squares.sum(), squares @ squares
    mean = sums[:, 0] / SAMPLES
    return mean, np.sqrt(np.maximum(sums[:, 1] / SAMPLES - mean**2, 0) / SAMPLES)


def deeper(x, seed):
    """Two hidden layers have no closed form: the tool samples as well, and says how far off it may be."""
    generator, paths, networks = np.random.default_rng(seed), [], []
    name, sizes = ["relu", "tanh", "erf", "leaky_relu:.1", "gelu", STEPS][seed % 6], (int(generator.integers(1, 6)), 5, 4, int(generator.integers(1, 4)))
    for letter in "ab":
        layers = [(generator.standard_normal((m, n)), .5 * generator.standard_normal(n)) for m, n in zip(sizes, sizes[1:])]
        networks.append(chain(layers, [name]))
        paths.append(scratch / f"deep{letter}.h5")
        with h5py.File(paths[-1], "w") as file:
            for i, (kernel, bias) in enumerate(layers, 1):
                file[f"fc{i}.weight"], file[f"fc{i}.bias"] = kernel.T, bias
    y = [np.concatenate([network(chunk[:sizes[0]].T) for chunk in x[:20]]) for network in networks]
    squares, errors = (y[0]**2).sum(1), ((y[0] - y[1])**2).sum(1)
    ratio = errors.mean() / squares.mean()
    deviation = np.std(errors - ratio * squares) / squares.mean()
    answers = [run(tools, "nc-verify", "--json", "--no-verdict", "--measure", "outputs", "--activation", name, *options, *paths, status=(0, 1))["parts"][0]["outputs"]
               for options in ((), (), ("--seed", 2, "--samples", 40000))]
    what = f"deep, {name}"
    expect(answers[0] == answers[1] != answers[2], f"{what}: the same seed, and another")
    for found, count in ((answers[0], 10000), (answers[2], 40000)):
        error = deviation / np.sqrt(count)
        expect(found["method"] == "Monte Carlo" and found["samples"] == count, f"{what}: {found}")
        expect(near(found["standard_error"], error, .1), f"{what}: standard_error {found['standard_error']}, NumPy: {error}")
        expect(abs(found["relative_error"] - ratio) <= 4 * np.hypot(error, deviation / np.sqrt(len(squares))), f"{what}: relative_error {found['relative_error']}, NumPy: {ratio} ± {error}")


def main():
    generator = np.random.default_rng(20)
    x = generator.standard_normal((SAMPLES // CHUNK, 5, CHUNK))
    worst = np.zeros((2, 2))
    cases = [networks(generator, number) for number in range(PAIRS)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(measured, number, *case) for number, case in enumerate(cases)]
        for number, ((name, nets), answer) in enumerate(zip(cases, answers)):
            what = f"{number}: {name}, {nets[0][0].shape[1]}-{len(nets[0][0])} and {len(nets[1][0])}-{len(nets[0][2])}"
            found = answer.result()
            mean, error = sampled(x, name, nets)
            wanted = exact(name, nets)
            if len(nets[0][0]) != len(nets[1][0]):
                expect(found["verdict"] == "differs", f"{what}: {found['verdict']}")
            expect(found["method"] == "closed form" and found["standard_error"] is None, f"{what}: {found['method']}, standard_error {found['standard_error']}")
            for k, key in enumerate(("squared_norm", "squared_error")):
                value, size = wanted[k]
                rounding = 1e-13 * size
                expect(abs(value - mean[k]) <= 4 * error[k] + rounding, f"{what}: the quadrature itself: {key} {value}, sampled {mean[k]} ± {error[k]}")
                expect(abs(found[key] - mean[k]) <= 4 * error[k] + rounding, f"{what}: {key} {found[key]}, sampled {mean[k]} ± {error[k]}")
                expect(near(found[key], value, 1e-8, rounding), f"{what}: {key} {found[key]}, by quadrature {value}")
                worst[k] = np.maximum(worst[k], [abs(found[key] - mean[k]) / error[k] if error[k] > 1e-12 * size else 0, abs(found[key] - value) / (abs(value) + rounding / 1e-8)])
            if found["squared_norm"] and wanted[0][0] > 1e-9 * wanted[0][1]:
                expect(near(found["relative_error"], found["squared_error"] / found["squared_norm"], 1e-12, 1e-15), f"{what}: relative_error {found['relative_error']}")
    for seed in range(6):
        deeper(x, seed)
    print(f"{PAIRS} pairs; standard errors from sampled: {worst[0][0]:.2f}, {worst[1][0]:.2f}; relative to quadrature: {worst[0][1]:.1e}, {worst[1][1]:.1e}")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
