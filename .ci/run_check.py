#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs networks with nc-run, and compares what they give with what the framework gave that made them, with a computation in
NumPy, and with what is recorded of them.

    run_check.py TOOLS [INPUTS]        INPUTS: a folder with keras/, keras_variants/, torch/, thirdparty/ and data/, as NC_INPUTS names it

Outputs of a framework, in float32: to 3e-5. Those of NumPy in double precision: to the rounding of the float32 that is written.
Of Keras in float16 and bfloat16, whose sums are float32's in an order of its own: equal, but for two samples in a hundred in which
a sum was rounded to the other side; where its functions are computed in other steps, to two units in the last place of 1.
"""
import tempfile
from oracle import *
import ml_dtypes
sys.path.insert(0, str(ROOT / "spec"))
import ncz

tools = pathlib.Path(sys.argv[1]).resolve()
inputs = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else None
networks, fashion = ROOT / "fixtures/networks", ROOT / "fixtures/data/fashion_test.h5"
folder = tempfile.TemporaryDirectory()
scratch = pathlib.Path(folder.name)
# As Keras measured them: spec/results.md and *.info.json.
FASHION = (("--keep .5", .8751), ("--keep .2", .8239), ("--keep .1", .6726), ("--keep .05", .5046), ("--keep .1 --values float16", .6725),
          ("--keep .2 --values ternary", .7672), ("--by node --keep .7", .8807), ("--by node --keep .5", .8688), ("--by singular-value --keep .25", .5069))
RESULTS = {"mnist_300_100": (("--by node --keep .7", .9783), ("--by node --keep .5", .9071), ("--by singular-value --keep .25", .6327), ("--by singular-value --keep .1", .2087)),
           "mnist_ht_512": (("--by node --keep .7", .9731), ("--by node --keep .5", .9699), ("--by singular-value --keep .25", .7113), ("--by singular-value --keep .1", .2588))}
TERNARY = {"fashion_300_100": (.8335, .7921), "mnist_300_100": (.9469, .9424), "mnist_ht_512": (.9399, .9453)}    # and --keep .3 before


def outputs(network, data, *options):
    target = scratch / "y.h5"
    told = run(tools, "nc-run", "--json", "--data", data, "-f", "-o", target, *options, network)
    with h5py.File(target) as file:
        y = file["y"][...]
    expect(y.dtype == np.float32 and y.ndim == 2 and list(y.shape) == [told["samples"], told["outputs"]], f"{network}: y is {y.dtype} {y.shape}, told {told}")
    return y.astype(float), told


def data(name, **arrays):
    with h5py.File(scratch / name, "w") as file:
        for key, value in arrays.items():
            file[key] = value
    return scratch / name


def reference(name):
    with h5py.File(name) as file:
        return {key: file[key][...] for key in file}


def agrees(y, wanted, what, absolute, relative=0.0):
    return expect(y.shape == wanted.shape and bool((np.abs(y - wanted) <= absolute + relative * np.abs(wanted)).all()),
                  f"{what}: outputs differ by {np.abs(y - wanted).max() if y.shape == wanted.shape else (y.shape, wanted.shape)}")


def predicted(path, x, *options):
    """What spec/ncz.py makes of a network in a .ncz, against nc-run, to the rounding of the float32 that is written."""
    packed = path if path.suffix == ".ncz" else scratch / "predicted.ncz"
    if packed != path:
        run(tools, "nc-ternarize", "-q", "-f", "--except", "*", *options, path, packed)
    run(tools, "nc-run", "-q", "--precision", "full", "--data", x, "-f", "-o", scratch / "predicted.h5", packed)
    wanted, found = reference(scratch / "predicted.h5")["y"].astype(float), ncz.predict(packed, samples(x))
    return agrees(found.reshape(wanted.shape), wanted, f"{path.name}, ncz.predict", 1e-12, 1e-6)


def exact(path, x, *options, activations=None):
    """As NumPy computes it in double precision, rounded to the float32 that is written."""
    y, _ = outputs(path, x, *options)
    return agrees(y, load(path, activations)(samples(x)), f"{path.name} {' '.join(options)}, NumPy", 1e-12, 1e-6)


# Keras in a process of its own, since this one has another backend: networks in POLICY with ACTIVATION, x → predictions.
KERAS = """
import os, sys
os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
import h5py, keras, numpy as np
from keras import layers
with h5py.File("x.h5") as file: x = file["x"][...].astype(np.float32)
generator = np.random.default_rng(4)
for case in sys.argv[1:]:
    policy, name = case.split(".")
    keras.config.set_dtype_policy(policy)
    model = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(32, activation=name), layers.Dense(24, activation=name), layers.Dense(10, activation="softmax")])
    model.set_weights([generator.standard_normal(w.shape) * (.3 if len(w.shape) == 2 else .1) for w in model.weights])
    model.save(case + ".keras")
    model.save(case + ".h5")
    with h5py.File(case + ".ref.h5", "w") as file: file["y"] = np.asarray(model.predict(x, batch_size=len(x), verbose=0)).astype(np.float32)
"""
ALIKE = ("relu", "tanh")        # what nc-run computes in the same steps; others differ by some units in the last place


def low_precision():
    cases = ["float16.relu", "float16.tanh", "bfloat16.tanh", "mixed_bfloat16.relu", "float16.gelu", "bfloat16.gelu"]
    x = data("x.h5", x=np.random.default_rng(5).random((200, 64)))
    subprocess.run([sys.executable, "-W", "ignore", "-c", KERAS, *cases], cwd=scratch, check=True, timeout=600, stderr=subprocess.DEVNULL)
    for case in cases:
        kind = np.float16 if case.startswith("float16") else ml_dtypes.bfloat16
        for end in (".keras", ".h5"):
            y, told = outputs(scratch / (case + end), x)
            expect(told["precision"] == np.dtype(kind).name, f"{case}{end}: precision {told['precision']}")
            wanted = reference(scratch / (case + ".ref.h5"))["y"].astype(float)
            if case.endswith(ALIKE):
                near_rounded(y, wanted, kind, f"{case}{end}, Keras")
            else:
                agrees(y, wanted, f"{case}{end}, Keras", 2 * float(ml_dtypes.finfo(kind).eps))


# Layers of one operation a number, in models built here: x → what Keras answers.
LAYERS = """
import os
os.environ |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
import h5py, keras, numpy as np
from keras import layers as L
generator = np.random.default_rng(6)
samples = lambda *shape: generator.standard_normal((40, *shape)).astype(np.float32)

def save(name, model, x):
    model.set_weights([(w if w.dtype.kind != "f" or "normalization" in v.path else .4 * generator.standard_normal(w.shape)).astype(w.dtype) for v, w in zip(model.weights, model.get_weights())])
    for end in (".keras", ".h5"):
        model.save(name + end)
    for end, data in (("", {"x": x}), (".ref", {"x": x, "y": np.asarray(model.predict(x, verbose=0))})):
        with h5py.File(f"{name}.data{end}.h5", "w") as file:
            for key, value in data.items(): file[key] = value

def chain(name, x, *layers):
    save(name, keras.Sequential([keras.Input(x.shape[1:]), *layers]), x)

chain("rescaling", samples(8), L.Rescaling(.25, offset=-.5), L.Dense(12, activation="relu"), L.Rescaling([.5, 1, 2] * 4, offset=1), L.Dense(5))
adapted = L.Normalization(axis=-1)
adapted.adapt(3 + 2 * generator.standard_normal((300, 8)).astype(np.float32))
chain("normalization", 3 + 2 * samples(8), adapted, L.Dense(9, activation="softsign"), L.Dense(4))
chain("normalization_constants", samples(6), L.Normalization(mean=[1., 2, 3, 4, 5, 6], variance=[1., 4, .25, 0, 9, 2]), L.Dense(4))
chain("normalization_inverse", samples(6), L.Dense(6), L.Normalization(mean=2., variance=9., invert=True), L.Dense(3))
chain("reshape", samples(24), L.Reshape((4, 6)), L.Dense(5, activation="tanh"), L.Reshape((-1, 2)), L.Dense(3), L.Reshape((30,)), L.Dense(4))
chain("bounded", samples(10), L.Dense(16), L.ReLU(max_value=1.), L.Dense(16), L.ReLU(negative_slope=.2, threshold=.5), L.Dense(16), L.ReLU(max_value=6, negative_slope=.1), L.Dense(16, activation="relu6"), L.Dense(4))
chain("prelu", samples(10), L.Dense(16), L.PReLU(), L.Dense(12), L.PReLU(shared_axes=[1]), L.Dense(4))
chain("prelu_positions", samples(5, 3), L.Dense(6), L.PReLU(shared_axes=[1]), L.Dense(4), L.PReLU(), L.Flatten(), L.Dense(4))
chain("functions", samples(7), L.Dense(9, activation="exponential"), L.Rescaling(.1), L.Dense(9, activation="softsign"), L.Dense(3, activation="softmax"))
x = keras.Input((6,))
a, b, c = (L.Dense(7, activation=name)(x) for name in ("tanh", "relu", "softsign"))
merged = L.Concatenate()([L.Multiply()([a, b, c]), L.Subtract()([a, b]), L.Average()([a, b, c]), L.Maximum()([a, b, c]), L.Minimum()([a, c]), L.Add()([b, c])])
save("merges", keras.Model(x, L.Dense(4)(merged)), samples(6))
chain("unknown_axis", samples(7, 4), L.Dense(6, activation="relu"), L.Dense(2))
y = keras.Input((None, 4))
save("any_length", keras.Model(y, L.Dense(2)(L.Dense(6, activation="relu")(y))), samples(7, 4))
"""


def cheap_layers():
    """As Keras has them; and node pruning passes through those that act on every number by itself: what is pruned, made smaller and run agrees."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", LAYERS], cwd=scratch, check=True, timeout=600, stderr=subprocess.DEVNULL)
    for wanted in sorted(scratch.glob("*.data.ref.h5")):
        name = wanted.name.split(".")[0]
        y = reference(wanted)["y"]
        for end in (".keras", ".h5"):
            run(tools, "nc-run", "-q", "--data", scratch / f"{name}.data.h5", "-f", "-o", scratch / "y.h5", scratch / (name + end))
            agrees(reference(scratch / "y.h5")["y"].astype(float), y.astype(float), f"{name}{end}, Keras", 2e-5, 2e-5)
            predicted(scratch / (name + end), scratch / f"{name}.data.h5")
    for name in ("rescaling", "normalization", "bounded", "prelu", "functions"):
        packed, smaller = scratch / "pruned.ncz", scratch / "smaller.h5"
        run(tools, "nc-prune", "-q", "-f", "--by", "node", "--keep", ".5", scratch / f"{name}.h5", packed)
        run(tools, "nc-restore", "-q", "-f", "--shape", "reduced", packed, smaller)
        expect(smaller.stat().st_size < (scratch / f"{name}.h5").stat().st_size or name == "rescaling", f"{name}: no node was removed")
        first, second = outputs(packed, scratch / f"{name}.data.h5")[0], outputs(smaller, scratch / f"{name}.data.h5")[0]
        agrees(second, first, f"{name}: pruned by node and smaller", 1e-6, 1e-5)


def other_layouts():
    """What other programs answered, of networks as they lay them out."""
    folder = networks / "layouts"
    for wanted in sorted(folder.glob("*.ref.h5")):
        name = wanted.name.split(".")[0]
        agrees(outputs(folder / f"{name}.h5", wanted)[0], reference(wanted)["y"].astype(float), f"{name}, its program", 2e-5)
        predicted(folder / f"{name}.h5", wanted)
    x = reference(folder / "unknown_axis.data.h5")["x"].astype(float)
    with h5py.File(folder / "unknown_axis.h5") as file:
        w = file["model_weights"]
        y = np.maximum(x @ w["a/a/kernel:0"][...] + w["a/a/bias:0"][...], 0) @ w["b/b/kernel:0"][...] + w["b/b/bias:0"][...]
    run(tools, "nc-run", "-q", "--data", folder / "unknown_axis.data.h5", "-f", "-o", scratch / "y.h5", folder / "unknown_axis.h5")
    agrees(reference(scratch / "y.h5")["y"].astype(float), y, "an axis of unknown extent", 2e-5)


def near_rounded(y, wanted, kind, what):
    off = np.abs(y - wanted).max(1)
    return expect((off > 0).mean() <= .02 and off.max() <= 8 * float(ml_dtypes.finfo(kind).eps), f"{what}: {(off > 0).sum()} of {len(off)} samples differ, by up to {off.max()}")


def cross_entropy(logits, labels):
    top = logits.max(1, keepdims=True)
    return (np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(labels)), labels]).mean()


# What comes with the project

def of_project():
    generator = np.random.default_rng(1)
    digits = data("digits.h5", x=generator.random((300, 64)), label=generator.integers(0, 10, 300))
    for path in sorted(networks.glob("*.h5")) + sorted(networks.glob("*.keras")):
        if re.search("int8|odd_values|names_nfc", path.name):
            refuses(tools, "nc-run", "--data", digits, path, status=69)
            continue
        if not path.name.startswith(("digits", "torch_digits")):
            continue
        if known(path, [ROOT / "fixtures/data"]):
            of_framework(path, known(path, [ROOT / "fixtures/data"]))
        if not re.search(r"digits_relu\.(mixed_)?bfloat16\.h5", path.name):        # which Keras does not load with NumPy
            exact(path, digits, "--precision", "full")
            if ".weights" not in path.name:
                predicted(path, digits)
            low = [kind for kind in ("bfloat16", "float16") if path.name.startswith("digits") and re.search({"bfloat16": r"\.bfloat16", "float16": r"\.(f16|float16)"}[kind], path.name)]
            told = run(tools, "nc-run", "--json", "--data", digits, path)
            expect(told["precision"] == (low[0] if low else "full"), f"{path.name}: precision {told['precision']}")
    exact(networks / "digits_relu.weights.h5", digits, "--activation", "tanh,elu:.5,softmax", activations=["tanh", "elu:.5", "softmax"])
    for name in ("leaky_relu", "leaky_relu:.3", "elu", "erf", "sigmoid", "softplus", "selu", "gelu", "silu", "abs", "sin", "cos", "step", "sign", "hard_sigmoid", "steps:-1/-.5/0/.25/2", "linear"):
        exact(networks / "torch_digits.flat.h5", digits, "--activation", name, activations=[name])
        predicted(networks / "torch_digits.flat.h5", digits, "--activation", name)
    exact(networks / "torch_digits.flat.h5", digits, "--input-scale", "1", activations=["relu"])
    predicted(ROOT / "fixtures/good/131-seeded-network.ncz", digits)
    run(tools, "nc-ternarize", "-q", "-f", "--method", "ntk", "--rotate", "--data", digits, "--y", "label", networks / "digits_relu.h5", scratch / "rotated.ncz")
    predicted(scratch / "rotated.ncz", digits)
    whole = load(networks / "digits_relu.h5")
    labels = reference(digits)["label"]
    y, told = outputs(networks / "digits_relu.h5", digits, "--y", "label")
    logits = whole.logits(samples(digits))
    expect(told["loss_kind"] == "cross entropy" and near(told["loss"], cross_entropy(logits, labels), 1e-9), f"digits_relu: loss {told}, NumPy: {cross_entropy(logits, labels)}")
    expect(near(told["accuracy"], (logits.argmax(1) == labels).mean(), 1e-12), f"digits_relu: accuracy {told['accuracy']}")
    expect(told["inputs"] == 64 and told["outputs"] == 10 and told["samples"] == 300, f"digits_relu: {told}")
    targets = data("targets.h5", x=samples(digits), y=generator.standard_normal((300, 10)))
    _, told = outputs(networks / "torch_digits.flat.h5", targets)
    wanted = ((load(networks / "torch_digits.flat.h5")(samples(targets)) - reference(targets)["y"])**2).mean()
    expect(told["loss_kind"] == "mean squared error" and near(told["loss"], wanted, 1e-9) and told["accuracy"] is None, f"torch_digits: {told}, NumPy: {wanted}")
    shorts = data("images.h5", x=generator.integers(0, 256, (20, 8, 8), dtype=np.uint8))
    y, told = outputs(networks / "torch_digits.flat.h5", shorts)
    agrees(y, load(networks / "torch_digits.flat.h5")(samples(shorts).reshape(20, 64)), "uint8 of three axes", 1e-12, 1e-6)
    expect(near(told["input_scale"], 1 / 255, 1e-6), f"input_scale {told['input_scale']} for uint8")
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(1, activation="sigmoid")])
    model.save(scratch / "sigmoid.keras")
    model.save(scratch / "sigmoid.h5")
    halves = data("halves.h5", x=samples(digits), y=labels % 2)
    p = load(scratch / "sigmoid.h5")(samples(halves))[:, 0]
    loss, accuracy = -np.log(np.where(labels % 2, p, 1 - p)).mean(), ((p > .5) == labels % 2).mean()
    for name in ("sigmoid.h5", "sigmoid.keras"):
        _, told = outputs(scratch / name, halves)
        expect(told["loss_kind"] == "binary cross entropy" and near(told["loss"], loss, 1e-9) and near(told["accuracy"], accuracy, 1e-12), f"sigmoid: {told}, NumPy: {loss}, {accuracy}")
    low_precision()
    cheap_layers()
    other_layouts()
    recorded(networks / "fashion_300_100.h5", fashion, .8836, FASHION)


# What was trained elsewhere

def of_framework(path, known):
    """A file against what its framework gave; one without architecture is told its activations, and its precision."""
    stem, wanted, options = path.name.split(".weights")[0], reference(known), []
    low = re.search(r"\.(mixed_)?b?float16", stem) and (np.float16 if ".float16" in stem else ml_dtypes.bfloat16)
    if ".weights" in path.name:
        options = ["--activation", "relu" if "diabetes" in stem else "relu,relu,softmax"] + (["--precision", np.dtype(low).name] if low else [])
    elif "hddm_torch" in str(path):
        options = ["--activation", "tanh"]
    y, told = outputs(path, data("x.h5", x=wanted["x"], **({"y": wanted["label"]} if "label" in wanted else {})), *options)
    what = f"{path.name} {' '.join(options)}, its framework"
    expect(told["precision"] == (np.dtype(low).name if low else "full"), f"{what}: precision {told['precision']}")
    if low:
        near_rounded(y, wanted["y"].astype(float), low, what)
    else:
        agrees(y, wanted["y"], what, 3e-5)
    if "y_float64" in wanted:
        agrees(y, wanted["y_float64"], f"{path.name}, in double precision", 1e-12, 1e-6)
    if "label" in wanted and wanted["label"].dtype.kind == "i":
        expect(near(told["accuracy"], (wanted["y"].argmax(1) == wanted["label"]).mean(), 1e-12), f"{what}: accuracy {told['accuracy']}")
    elif "label" in wanted:
        loss = ((wanted["y"][:, 0].astype(float) - wanted["label"])**2).mean()
        expect(near(told["loss"], loss, 1e-5) and told["loss_kind"] == "mean squared error", f"{what}: loss {told['loss']}, of the reference {loss}")


def known(path, folders):
    """The outputs of the framework for a file, in one of the folders."""
    stem = re.sub(r"(\.no_optimizer|\.flat|\.nested)?(\.weights)?\.(h5|keras)$", "", path.name)
    return next((folder / (stem + ".ref.h5") for folder in folders if (folder / (stem + ".ref.h5")).exists()), None)


def of_keras():
    """A folder for each network, in every form there is; mnist_conv has layers that nc-run cannot run."""
    for path in sorted((inputs / "keras").glob("*/*")) + sorted((inputs / "keras_variants").glob("*")):
        if not re.search(r"\.(h5|keras)$", path.name) or path.name.endswith(".ref.h5"):
            continue
        if ".sharded_" in path.name or path.name == "digits_branch.weights.h5":
            counts["skipped"] += 1                       # no chain
        elif re.search("conv|int8|int4", path.name):
            refuses(tools, "nc-run", "--data", known(path, [path.parent]), path, status=69)
        else:
            of_framework(path, known(path, [path.parent]))


def of_others():
    for path in sorted((inputs / "torch").glob("*/*.h5")) + sorted((inputs / "thirdparty").glob("hddm*/*.h5")):
        if path.name.endswith(".ref.h5"):
            continue
        of_framework(path, known(path, [path.parent]))
    refuses(tools, "nc-run", "--data", fashion, inputs / "thirdparty/fer/emotion_model.hdf5", status=69)
    refuses(tools, "nc-run", "--data", fashion, inputs / "thirdparty/keras2cpp/my_nn_weights.h5", status=69)
    reference_digits = reference(inputs / "keras/digits_relu/digits_relu.ref.h5")
    x = data("x.h5", x=reference_digits["x"])
    for path in sorted((inputs / "dialects").glob("digits.*.h5")):
        if re.search("external_raw|plugin|virtual|libver_latest|large_attributes|odd_values|unicode", path.name):
            counts["skipped"] += 1                       # read by none, no chain, or h5py reads what nc must not
        elif "many_layers" not in path.name:
            exact(path, x, "--precision", "full")
            agrees(outputs(path, x, "--precision", "full")[0], reference_digits["y"], f"{path.name}, Keras", 3e-5 if not re.search("float16|f16", path.name) else .01)
    exact(inputs / "dialects/digits.many_layers.h5", data("x.h5", x=np.random.default_rng(2).standard_normal((50, 8))))


def recorded(path, test, whole, forms):
    """Accuracies on 10,000 images, to one sample; outputs from .ncz and from what nc-restore makes of it; the time of a run."""
    begin = time.monotonic()
    _, told = outputs(path, test)
    print(f"{path.name}: {told['samples']}×{told['inputs']} in {time.monotonic() - begin:.2f} s, accuracy {told['accuracy']}, loss {told['loss']}")
    once = lambda accuracy, wanted, what: expect(abs(accuracy - wanted) <= 1.01e-4, f"{path.name}: {what}: accuracy {accuracy} instead of {wanted}")
    once(told["accuracy"], whole, "whole")
    if test == fashion:
        exact(path, test)
        logits, labels = load(path).logits(samples(test)), reference(test)["y"].astype(int)
        expect(near(told["loss"], cross_entropy(logits, labels), 1e-9), f"{path.name}: loss {told['loss']}, NumPy: {cross_entropy(logits, labels)}")
    ternary = [((("nc-ternarize",),), TERNARY[path.stem][0]), ((("nc-prune", "--keep", ".3"), ("nc-ternarize",)), TERNARY[path.stem][1])]
    for commands, wanted in [((("nc-prune", *text.split()),), wanted) for text, wanted in forms] + ternary:
        what = " | ".join(" ".join(command) for command in commands)
        packed = compressed(tools, path, scratch / "restored.h5", *commands)
        y, told = outputs(packed, test)
        once(told["accuracy"], wanted, what)
        predicted(packed, test)
        agrees(y, outputs(scratch / "restored.h5", test)[0], f"{path.name}: {what}: .ncz and restored", 1e-12, 1e-6)
        if "node" in what:
            run(tools, "nc-restore", "-q", "-f", "--shape", "reduced", packed, scratch / "reduced.h5")
            agrees(outputs(scratch / "reduced.h5", test)[0], y, f"{path.name}: {what}: reduced", 1e-12, 1e-5)


def main():
    of_project()
    if inputs:
        of_keras()
        of_others()
        for name in RESULTS:
            info = json.loads((inputs / f"keras/{name}/{name}.info.json").read_text())
            forms = [(f"--keep {keep}", info[f"acc_keep_{keep}"]) for keep in (.5, .2, .1, .05)]       # at .02 they kept one weight more
            recorded(inputs / f"keras/{name}/{name}.h5", inputs / "data/mnist_test.h5", info["test_accuracy"], (*forms, *RESULTS[name]))
    return finish()


if __name__ == "__main__":
    sys.exit(main())
