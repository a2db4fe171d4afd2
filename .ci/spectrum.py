#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares networks with their compressed forms, and with others, by nc-verify and in NumPy: kernels, outputs, weights.

    spectrum.py TOOLS [INPUTS]        INPUTS: a folder with keras/, torch/ and data/, as NC_INPUTS names it

Numbers agree to 1e-9 of themselves, or to 1e-12 of what they are relative to; singular values of weights to 1e-6.
The NumPy side is first compared with derivatives by each single weight.
"""
import tempfile
from oracle import *

tools = pathlib.Path(sys.argv[1]).resolve()
inputs = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
fixtures, fashion = ROOT / "fixtures/networks", ROOT / "fixtures/data/fashion_test.h5"
folder = tempfile.TemporaryDirectory()
scratch = pathlib.Path(folder.name)
FORMS = {"ternary": [("nc-ternarize",)], "half": [("nc-prune", "--keep", ".5")], "nodes": [("nc-prune", "--by", "node", "--keep", ".7")],
         "singular": [("nc-prune", "--by", "singular-value", "--keep", ".25")], "grid": [("nc-quantize",)]}


# Kernels

def kernel(found, a, b, what):
    wanted = distances(a, b)
    norm = wanted["norm_a"]
    expect(set(found) == set(wanted), f"{what}: keys {sorted(set(found) ^ set(wanted))}")
    for key, value in wanted.items():
        if key == "subspace":
            subspace(found[key], value, f"{what}: subspace")
        elif expect(key in found, f"{what}: no {key}"):
            absolute = {"norm_b": 1e-12 * norm, "shift": 1e-12 * norm, "alignment": 1e-9}.get(key, 1e-12)
            expect(near(found[key], value, 1e-9, absolute), f"{what}: {key} {found[key]}, NumPy: {value}")


def subspace(found, wanted, what):
    if not expect((found is None) == (wanted is None), f"{what} {found}, NumPy: {wanted}") or found is None:
        return
    if not expect(found["dimension"] == wanted["dimension"], f"{what}: {found}, NumPy: {wanted}"):
        return
    # Of a matrix of lower rank, whose other eigenvalues are rounding, there is none, or one that is hardly more.
    gaps = [value["gap"] or np.inf for value in (found, wanted)]
    expect(min(gaps) >= 1e9 or near(*gaps, 1e-9 * max(1, gaps[1] / 1e3)), f"{what}: gap {found['gap']}, NumPy: {wanted['gap']}")
    if wanted["least"] < 1e-10 and (found["sine"] is None or wanted["sine"] is None):
        return expect(wanted["least"] > 1e-14 or found["sine"] is None, f"{what}: sine {found['sine']} of a space that B has not")
    # √(1 − σ²) of rounded σ: what is small is known to its square only.
    squares = found["sine"]**2, wanted["sine"]**2
    expect(abs(squares[0] - squares[1]) <= 1e-9 * max(wanted["sine"], 1e-6), f"{what}: sine {found['sine']}, NumPy: {wanted['sine']}")


class Pair:
    """Two networks and data, measured once in NumPy."""

    def __init__(self, a, b, data, points=512, activations=None):
        self.files, self.data, self.points, self.activations = (a, b), data, points, activations
        self.networks = [load(p, activations) for p in (a, b)]
        self.x = samples(data)
        self.x = self.x.reshape(len(self.x), -1)
        self.kernels = [kernels(network, self.x[:points]) for network in self.networks]

    def verified(self, *options, second=None, status=(0, 1)):
        more = ["--activation", ",".join(self.activations)] if self.activations else []
        return run(tools, "nc-verify", "--json", "--data", self.data, "--points", self.points, *more, *options, self.files[0], second or self.files[1], status=status)

    def check(self, what, outputs=("sum",), second=None, tensors=True):
        for which in outputs:
            report = self.verified("--ntk-output", which, second=second)
            part, spectrum = report["parts"][0], report["parts"][0]["spectrum"]
            expect(spectrum["points"] == min(self.points, len(self.x)), f"{what}: {spectrum['points']} points")
            expect(str(spectrum["ntk_output"]) == str(which), f"{what}: ntk_output {spectrum['ntk_output']}")
            ntk = [sum(k.ntk) if which == "sum" else k.ntk[which] for k in self.kernels]
            kernel(spectrum["ck"], self.kernels[0].ck, self.kernels[1].ck, f"{what}: CK")
            if expect(spectrum["ntk"] is not None, f"{what}: no NTK"):
                kernel(spectrum["ntk"], *ntk, f"{what}: NTK of {which}")
        self.outputs(part["outputs"], what)
        if tensors:
            self.tensors(report["tensors"], what)
        return report

    def outputs(self, found, what):
        f, g = (network.logits(self.x) for network in self.networks)
        with h5py.File(self.data) as file:
            labels = file["y"][...] if "y" in file and file["y"].dtype.kind in "iu" else None
        squares = [(f**2).sum(1).mean(), ((f - g)**2).sum(1).mean()]
        wanted = {"squared_norm": squares[0], "squared_error": squares[1], "relative_error": squares[1] / squares[0]}
        for key, value in wanted.items():
            expect(near(found[key], value, 1e-9, 1e-20 * squares[0]), f"{what}: {key} {found[key]}, NumPy: {value}")
        expect(found["method"] == "data" and found["samples"] == len(self.x), f"{what}: {found['method']}, {found['samples']} samples")
        agreement = (f.argmax(1) == g.argmax(1)).mean() if f.shape[1] > 1 else None
        if agreement is not None:
            expect(near(found["agreement"], agreement, 1e-12), f"{what}: agreement {found['agreement']}, NumPy: {agreement}")
        divergence = None
        if all(network.softmax for network in self.networks):
            p, q = (y - y.max(1, keepdims=True) - np.log(np.exp(y - y.max(1, keepdims=True)).sum(1, keepdims=True)) for y in (f, g))
            divergence = (np.exp(p) * (p - q)).sum(1).mean()
        expect(near(found["divergence"], divergence, 1e-9, 1e-14), f"{what}: divergence {found['divergence']}, NumPy: {divergence}")
        for key, y in (("accuracy_a", f), ("accuracy_b", g)):
            accuracy = (y.argmax(1) == labels).mean() if labels is not None and y.shape[1] > 1 else None
            expect(near(found[key], accuracy, 1e-12), f"{what}: {key} {found[key]}, NumPy: {accuracy}")

    def tensors(self, found, what):
        if not all(h5py.is_hdf5(p) for p in self.files):
            return
        paths = {t["name"]: t["path"] for t in run(tools, "nc-info", "--json", self.files[0])["tensors"]}
        measured = 0
        with h5py.File(self.files[0]) as a, h5py.File(self.files[1]) as b:
            for tensor in found:
                v, w = (np.asarray(file[paths[tensor["name"]]][...], float) for file in (a, b))
                if v.shape != w.shape or not v.any() or a[paths[tensor["name"]]].dtype.kind != "f":
                    continue
                measured += v.ndim == 2
                wanted = np.linalg.norm(v - w) / np.linalg.norm(v)
                expect(near(tensor["relative_l2"], wanted, 1e-9), f"{what}: {tensor['name']}: relative_l2 {tensor['relative_l2']}, NumPy: {wanted}")
                if v.ndim == 2 and tensor["spectral_error"] is not None:
                    wanted = np.linalg.norm(v - w, 2) / np.linalg.norm(v, 2)
                    expect(not tensor["spectral_error_is_bound"] and near(tensor["spectral_error"], wanted, 2e-4, 1e-7), f"{what}: {tensor['name']}: spectral_error {tensor['spectral_error']}, NumPy: {wanted}")
                if tensor["singular_values"]:
                    for letter, m in (("a", v), ("b", w)):
                        wanted, values = np.linalg.svd(m, compute_uv=False), np.array(tensor["singular_values"][letter])
                        expect(values.shape == wanted.shape and np.abs(values - wanted).max() <= 1e-6 * wanted[0], f"{what}: {tensor['name']}: singular values of {letter}")
        kinds = [len(w["kernel"].shape) for w in self.networks[0].weights.values() if "kernel" in w]
        expect(measured >= len(kinds), f"{what}: only {measured} of {len(kinds)} matrices measured")


# Networks of every kind

def generated():
    """Keras models that have what the networks at hand have not; name → model."""
    layers, build = keras.layers, {}
    given = lambda n=6: keras.Input((n,))
    x = given()
    build["normalised"] = keras.Sequential([x, layers.Dense(7, use_bias=False), layers.BatchNormalization(), layers.ReLU(), layers.Dense(5), layers.BatchNormalization(scale=False),
                                            layers.Activation("tanh"), layers.Dense(3, activation="softmax")])
    x = given()
    shared = layers.Dense(6, activation="tanh")
    build["shared"] = keras.Model(x, layers.Dense(2)(layers.Add()([shared(x), shared(shared(x))])))
    x = given()
    a, b = layers.Dense(5, activation="gelu")(x), layers.Dense(4, activation="softplus", use_bias=False)(x)
    c = layers.Concatenate()([a, b, x])
    build["branches"] = keras.Model(x, layers.Dense(3, activation="softmax")(layers.Add()([layers.Dense(8, activation="silu")(c), layers.Dense(8)(layers.Dropout(.5)(c))])))
    x = given()
    build["one output"] = keras.Sequential([x, layers.Dense(9, activation="selu"), layers.LeakyReLU(negative_slope=.3), layers.Dense(4, activation="hard_sigmoid"), layers.Dense(1, use_bias=False)])
    x = given()
    build["no bias"] = keras.Sequential([x, layers.Dense(5, activation="elu", use_bias=False), layers.Dense(2, activation="sigmoid", use_bias=False)])
    x = given()
    build["linear"] = keras.Sequential([x, layers.Dense(4)])
    x = given()
    build["layer normalised"] = keras.Sequential([x, layers.Dense(7, activation="tanh"), layers.LayerNormalization(), layers.Dense(4), layers.LayerNormalization(center=False), layers.ELU(.7), layers.Dense(3)])
    x = keras.Input((2, 3))
    build["flattened"] = keras.Sequential([x, layers.Flatten(), layers.Dense(5, activation="relu"), layers.Softmax()])
    return build


def of_generated():
    generator = np.random.default_rng(8)
    for name, model in generated().items():
        random = lambda scale: [np.abs(generator.standard_normal(w.shape)) + .3 if "variance" in w.path else generator.standard_normal(w.shape) * scale for w in model.weights]
        first, paths = random(.7), [scratch / f"{name}.{letter}.{end}" for letter, end in (("a", "h5"), ("b", "h5"), ("c", "keras"), ("d", "h5"))]
        for path, weights in zip(paths, (first, [w + .1 * v for w, v in zip(first, random(.7))], random(1.0), [np.round(w * 4) / 4 for w in first])):
            model.set_weights(weights)
            model.save(path)
        shape = (12, *model.input_shape[1:])
        data = scratch / "small.h5"
        with h5py.File(data, "w") as file:
            file["x"], file["y"] = generator.standard_normal(shape), generator.integers(0, max(2, model.output_shape[1]), 12)
        network, x = load(paths[0]), samples(data).reshape(12, -1)
        if network.nodes[1].kind == "flatten":
            x = x.reshape(12, -1)
        ours, by_weights = kernels(network, x).ntk, jacobian_kernels(network, x)
        expect(all(np.abs(p - q).max() <= 1e-12 * np.abs(q).max() for p, q in zip(ours, by_weights)), f"{name}: NumPy against itself")
        for path in paths[1:]:
            Pair(paths[0], path, data, points=12).check(f"{path.stem}", ("sum", *range(model.output_shape[1])))


def digits_data():
    generator, path = np.random.default_rng(9), scratch / "digits.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = generator.random((700, 64)), generator.integers(0, 10, 700)
    return path


def of_forms(source, data, forms, outputs, points=512, activations=None):
    for form in forms:
        restored = scratch / f"{source.stem}.{form}.h5"
        named = ["--activation", ",".join(activations)] if activations else []
        packed = compressed(tools, source, restored, *[(*command, *named) for command in FORMS[form]])
        pair = Pair(source, restored, data, points, activations)
        pair.check(f"{source.name}, {form}", outputs)
        again = pair.verified(second=packed)
        pair.outputs(again["parts"][0]["outputs"], f"{source.name}, {form}.ncz")
        for which in ("ck", "ntk") if outputs[-1] == "sum" else ():
            ours = [sum(k.ntk) if which == "ntk" else k.ck for k in pair.kernels]
            kernel(again["parts"][0]["spectrum"][which], *ours, f"{source.name}, {form}.ncz: {which.upper()}")
        expect(again["claims"] and all(near(c["measured"], c["claimed"], 1e-6, 1e-9) for c in again["claims"] if c["claimed"] is not None),
               f"{source.name}, {form}: claims {again['claims']}")


def special(digits):
    """Where numbers are not defined, or known beforehand; exit statuses."""
    source = fixtures / "digits_relu.h5"
    pair = Pair(source, source, digits, points=40)
    report = pair.check("the same", ("sum", 3))
    expect(report["parts"][0]["spectrum"]["ck"]["relative_spectral_norm"] == 0, "the same: not zero")
    pair.verified(status=(0,))
    Pair(source, fixtures / "digits_relu.keras", digits, points=40).check("the same from .keras", (0, "sum"))
    Pair(source, scratch / "digits_relu.ternary.h5", digits, points=3).check("three points", ("sum", 9))
    refuses(tools, "nc-verify", "--data", digits, "--points", 1, source, source, status=64)
    report = run(tools, "nc-verify", "--json", "--data", digits, "--points", 20, source, fixtures / "torch_digits.flat.h5", status=(1,))
    expect(report["verdict"] == "differs", f"tensors of other names: {report['verdict']}")
    narrow = scratch / "narrow.h5"
    with h5py.File(narrow, "w") as file:
        for i, (n, m) in enumerate(((64, 20), (20, 10), (10, 10)), 1):
            file[f"fc{i}.weight"], file[f"fc{i}.bias"] = np.random.default_rng(i).standard_normal((m, n)).astype(np.float32), np.arange(m, dtype=np.float32)
    report = Pair(fixtures / "torch_digits.flat.h5", narrow, digits, points=100).check("tensors of other shapes", ("sum", 2), tensors=False)
    expect(report["verdict"] == "differs", f"tensors of other shapes: {report['verdict']}")
    pair = Pair(source, scratch / "digits_relu.ternary.h5", digits)
    for kind, ours in (("ck", [k.ck for k in pair.kernels]), ("ntk", [sum(k.ntk) for k in pair.kernels])):
        found, wanted = pair.verified("--fast")["parts"][0]["spectrum"][kind], distances(*ours)
        expect(all(found[key] is None or near(found[key], wanted[key], 1e-9, 1e-9 * wanted["norm_a"] * (key == "shift")) for key in wanted), f"--fast: {kind} {found}, NumPy: {wanted}")
        expect(found["norm_a"] and found["relative_spectral_norm"] and found["residual_after_scale"], f"--fast: {kind} {found}")
    Pair(source, source, digits, points=2).check("two points", ("sum",))
    zero = scratch / "zero.h5"
    model = keras.models.load_model(source, compile=False)
    model.set_weights([0 * np.asarray(w.value) for w in model.weights])
    model.save(zero)
    spectrum = run(tools, "nc-verify", "--json", "--data", digits, "--points", 20, zero, source, status=(0, 1))["parts"][0]["spectrum"]
    for key in ("relative_spectral_norm", "residual_after_shift", "scale", "residual_after_scale", "eigenvalue_distance", "alignment"):
        expect(spectrum["ck"][key] is None, f"CK of zeros: {key} {spectrum['ck'][key]}")
    restored = scratch / "limits.h5"
    compressed(tools, source, restored, ("nc-prune", "--keep", ".5"))
    limits = Pair(source, restored, digits, points=40)
    part = limits.verified()["parts"][0]
    weights = max(t["relative_l2"] or 0 for t in limits.verified()["tensors"])
    values = (("--max-weight", weights), ("--max-output", part["outputs"]["relative_error"]), ("--max-ck", part["spectrum"]["ck"]["relative_spectral_norm"]),
              ("--max-ntk", part["spectrum"]["ntk"]["relative_spectral_norm"]))
    for option, value in values:
        for factor, status in ((1.01, 0), (.99, 1)):
            try:
                limits.verified(option, f"{factor * value:.12g}", status=(status,))
                expect(True, option)
            except RuntimeError as error:
                expect(False, f"{option} {factor} times what it is ({value}): {error}")
    refuses(tools, "nc-verify", source, scratch / "missing.h5", status=66)
    for name in ("step", "sign", "steps:0/1/2"):
        stepped = Pair(fixtures / "torch_digits.flat.h5", scratch / "torch_digits.flat.ternary.h5", digits, 60, [name])
        spectrum = stepped.verified()["parts"][0]["spectrum"]
        kernel(spectrum["ck"], *(k.ck for k in stepped.kernels), f"{name}: CK")
        expect(spectrum["ntk"] is None, f"{name}: an NTK, where derivatives are zero almost everywhere")
    random_points()
    # A file that was packed as one with relu between, and --activation: both networks are to be of that, or neither.
    source, options = fixtures / "torch_digits.flat.h5", ("--json", "--no-verdict", "--measure", "outputs", "--activation", "tanh", "--data", digits)
    packed = compressed(tools, source, scratch / "packed.h5", ("nc-prune", "--keep", ".5"))
    try:
        errors = [run(tools, "nc-verify", *options, source, path)["parts"][0]["outputs"]["relative_error"] for path in (scratch / "packed.h5", packed)]
        expect(near(*errors, 1e-9), f"--activation tanh of an HDF5 file and of an .ncz: relative_error {errors[1]}, of its restored file {errors[0]}")
    except RuntimeError as error:
        expect("exit status 6" in str(error), f"--activation tanh of an HDF5 file and of an .ncz: {error}")


def random_points():
    """Without data: the norm of the CK of a first layer that is the identity, over seeds, as over points of NumPy's."""
    generator, path, p, n = np.random.default_rng(10), scratch / "identity.h5", 20, 40
    with h5py.File(path, "w") as file:
        file["fc1.weight"], file["fc2.weight"] = np.eye(p), np.ones((1, p))
    centre = lambda a: 8 * (np.arange(p) == 8 * a % p)
    laws = {"gaussian": lambda: generator.standard_normal((n, p)),
            "mixture": lambda: np.concatenate([generator.standard_normal((n // 2, p)) + centre(0), generator.standard_normal((n - n // 2, p)) * np.sqrt(1 + 8 / np.sqrt(p)) + centre(1)])}
    for law, draw in laws.items():
        ours = [np.linalg.norm(np.maximum(draw(), 0), 2)**2 for _ in range(1000)]
        found = [run(tools, "nc-verify", "--json", "--no-verdict", "--measure", "spectrum", "--points", n, "--law", law, "--seed", seed, path, path)["parts"][0]["spectrum"]["ck"]["norm_a"] for seed in range(1, 13)]
        expect(abs(np.mean(found) - np.mean(ours)) <= 4 * np.std(ours) / np.sqrt(len(found)) and len(set(found)) == len(found),
               f"{law} points: norm {np.mean(found)}, NumPy: {np.mean(ours)} ± {np.std(ours) / np.sqrt(len(found))}")


def main():
    of_generated()
    digits = digits_data()
    of_forms(fixtures / "digits_relu.h5", digits, FORMS, (4, "sum"))
    of_forms(fixtures / "digits_branch.h5", digits, ("ternary", "half", "singular"), (0, "sum"))
    of_forms(fixtures / "torch_digits.flat.h5", digits, ("ternary", "nodes"), ("sum",))
    of_forms(fixtures / "torch_digits.nested.h5", digits, ("half",), (9, "sum"), points=100, activations=["tanh"])
    of_forms(fixtures / "fashion_300_100.h5", fashion, ("ternary", "nodes"), (7, "sum"))
    special(digits)
    if inputs:
        mnist = inputs / "data/mnist_test.h5"
        for name in ("mnist_300_100", "mnist_ht_512"):
            of_forms(inputs / f"keras/{name}/{name}.h5", mnist, FORMS, ("sum",))
        of_forms(inputs / "torch/torch_mnist/torch_mnist.flat.h5", mnist, ("half", "ternary"), (2, "sum"))
        of_forms(inputs / "keras/diabetes_reg/diabetes_reg.h5", inputs / "keras/diabetes_reg/diabetes_reg.ref.h5", FORMS, (0, "sum"))
        hddm = inputs / "thirdparty/hddm/model_final_ddm"
        of_forms(hddm.with_suffix(".h5"), hddm.with_suffix(".ref.h5"), ("ternary", "half"), ("sum",))
    return finish()


if __name__ == "__main__":
    sys.exit(main())
