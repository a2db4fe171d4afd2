# SPDX-License-Identifier: Apache-2.0
"""What NumPy makes of a network in double precision, written from the definitions and not from the tools: outputs, kernels
of finite networks, and how two of them differ. For the checks of nc-run and nc-verify.

    load(path, activations)    the network of a Keras file; or of a file without architecture, activations between, the last linear
    network(x)                 its outputs; .logits(x): without a softmax at the end
    kernels(network, x)        the CK, and the NTK of each output
    distances(A, B)            what nc-verify says of two kernels

Derivatives are taken by a complex step, f'(x) = Im f(x + ih)/h, which is exact but for rounding: functions that are made of
pieces choose by the real part. `jacobian_kernels` does so with every weight, and so checks `kernels` without its formulas.
"""
import collections, json, os, pathlib, re, subprocess, sys, time, zipfile
# Before NumPy is loaded: import this module first.
OUTSIDE = dict(os.environ)                               # what the tools are run with
os.environ |= {"KERAS_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1"}          # of NumPy: its matrices are small
import absl.logging, h5py, keras
import numpy as np
from scipy import special
from counting import counts, expect, finish as counted
absl.logging.set_verbosity(absl.logging.ERROR)

ROOT = pathlib.Path(__file__).resolve().parent.parent
begun = time.monotonic()


def near(found, wanted, relative, absolute=0.0):
    """Whether a number of the tool is the one wanted; where there is none, null."""
    if wanted is None or found is None:
        return wanted is None and found is None
    return bool(abs(found - wanted) <= relative * abs(wanted) + absolute)


def finish():
    print(f"{time.monotonic() - begun:.0f} s")
    return counted()


# The tools

def run(tools, name, *arguments, status=(0,), seconds=300):
    """Runs a tool; what it printed, as JSON if that was asked for. Another exit status than expected is an error."""
    arguments = list(map(str, arguments))
    result = subprocess.run([pathlib.Path(tools) / name, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, env=OUTSIDE)
    if result.returncode not in status:
        raise RuntimeError(f"{' '.join([name, *arguments])}: exit status {result.returncode}: {result.stderr.decode(errors='replace').strip()[:300]}")
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def refuses(tools, name, *arguments, status):
    """A tool ends with this exit status, and says why."""
    result = subprocess.run([pathlib.Path(tools) / name, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, env=OUTSIDE)
    why = result.stderr.decode(errors="replace").strip()
    return expect(result.returncode == status and why, f"{name} {' '.join(map(str, arguments))}: exit status {result.returncode} instead of {status}: {why[:200]}")


def compressed(tools, source, target, *commands):
    """Takes a file through tools, one after the other, and back to an HDF5 file `target`; the .ncz is beside it."""
    packed = pathlib.Path(target).with_suffix(".ncz")
    for number, command in enumerate(commands):
        last = number == len(commands) - 1
        step = packed if last else packed.with_suffix(f".{number}.ncz")
        run(tools, command[0], "-q", "-f", *command[1:], source, step)
        source = step
    run(tools, "nc-restore", "-q", "-f", packed, target)
    return packed


def samples(path, count=None, name="x"):
    """The samples of a data file as the tools take them."""
    with h5py.File(path) as file:
        x = file[name][:count]
    return x / 255 if x.dtype == np.uint8 else x.astype(float)


# Activations, also of complex numbers

def choose(x, above, below):
    return np.where(np.real(x) > 0, above, below)


def small(x):
    """x where it is negative, else 0: so that no exponential overflows."""
    return choose(x, 0 * x, x)


def constant(x, levels, thresholds):
    """The level whose index is the number of thresholds < x."""
    return np.asarray(levels)[sum((np.real(x) > t for t in thresholds), np.zeros(np.shape(x), int))] + 0 * x


def hard(x, divisor):
    y = x / divisor + .5
    return np.where(np.real(y) >= 1, 1 + 0 * x, np.where(np.real(y) <= 0, 0 * x, y))


def sigmoid(x):
    e = np.exp(-np.sign(np.real(x)) * x)
    return choose(x, 1 / (1 + e), e / (1 + e))


SELU = 1.0507009873554805, 1.6732632423543772
ACTIVATIONS = {
    "linear": lambda x: x, "relu": lambda x: choose(x, x, 0 * x), "abs": lambda x: np.sign(np.real(x)) * x,
    "leaky_relu": lambda x, slope=.2: choose(x, x, slope * x), "elu": lambda x, alpha=1.0: choose(x, x, alpha * np.expm1(small(x))),
    "selu": lambda x: SELU[0] * choose(x, x, SELU[1] * np.expm1(small(x))), "sigmoid": sigmoid, "silu": lambda x: x * sigmoid(x),
    "gelu": lambda x, approximate=False: .5 * x * (1 + (np.tanh(np.sqrt(2 / np.pi) * (x + .044715 * x**3)) if approximate else special.erf(x / np.sqrt(2)))),
    "softplus": lambda x: choose(x, x, 0 * x) + np.log1p(np.exp(-np.sign(np.real(x)) * x)),
    "hard_sigmoid": lambda x, divisor=6.0: hard(x, divisor), "tanh": np.tanh, "erf": special.erf, "sin": np.sin, "cos": np.cos,
    "sign": lambda x: np.sign(np.real(x)) + 0 * x, "step": lambda x: choose(x, 1 + 0 * x, 0 * x),
}
ACTIVATIONS["swish"] = ACTIVATIONS["silu"]


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def activation(text, slope=.01):
    """By the name of the option --activation. The slope: of leaky_relu without one, as PyTorch has it."""
    kind, _, parameter = text.partition(":")
    if kind == "steps":
        numbers = [float(n) for n in parameter.split("/")]
        return lambda x: constant(x, numbers[::2], numbers[1::2])
    if parameter or kind == "leaky_relu":
        return lambda x: ACTIVATIONS[kind](x, float(parameter or slope))
    return ACTIVATIONS[kind]


# Networks

Node = collections.namedtuple("Node", "kind inputs key function")         # key: of its weights; a layer called twice has one


class Network:
    """nodes in topological order, the input first; weights: key → dictionary of arrays of float64."""

    def __init__(self, nodes, weights):
        self.nodes, self.weights = nodes, weights
        self.softmax = nodes[-1].kind == "softmax"
        self.last = max(i for i, node in enumerate(nodes) if node.kind == "dense")

    def values(self, x):
        """What each node gives."""
        values = []
        for node in self.nodes:
            given, w = [values[n] for n in node.inputs], self.weights.get(node.key)
            match node.kind:
                case "input": value = np.asarray(x, float)
                case "dense": value = given[0] @ w["kernel"] + w.get("bias", 0.0)
                case "activation": value = node.function(given[0])
                case "softmax": value = softmax(given[0])
                case "batch" | "layer": value = self.normalised(node, given[0]) * w.get("gamma", 1.0) + w.get("beta", 0.0)
                case "add": value = sum(given[1:], given[0])
                case "concatenate": value = np.concatenate(given, -1)
                case "flatten": value = given[0].reshape(len(given[0]), -1)
                case "dropout": value = given[0]
            values.append(value)
        return values

    def normalised(self, node, x):
        w = self.weights[node.key]
        if node.kind == "batch":
            return (x - w["mean"]) / np.sqrt(w["variance"] + w["epsilon"])
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(((x - x.mean(-1, keepdims=True))**2).mean(-1, keepdims=True) + w["epsilon"])

    def __call__(self, x):
        return self.values(x)[-1]

    def end(self, values):
        return values[self.nodes[-1].inputs[0] if self.softmax else -1]

    def logits(self, x):
        return self.end(self.values(x))

    def backward(self, values, slope):
        """From the derivative by the logits, those by what each node gives."""
        end = self.nodes[-1].inputs[0] if self.softmax else len(self.nodes) - 1
        slopes = [np.zeros_like(v) for v in values[:end]] + [slope]
        for node, b in zip(self.nodes[end::-1], reversed(slopes)):
            w, given = self.weights.get(node.key), [values[n] for n in node.inputs]
            match node.kind:
                case "input": parts = []
                case "dense": parts = [b @ w["kernel"].T]
                case "activation": parts = [b * np.imag(node.function(given[0] + 1e-30j)) / 1e-30]
                case "batch": parts = [b * w.get("gamma", 1.0) / np.sqrt(w["variance"] + w["epsilon"])]
                case "layer":
                    y, s = self.normalised(node, given[0]), b * w.get("gamma", 1.0)
                    deviation = np.sqrt(given[0].var(-1, keepdims=True) + w["epsilon"])
                    parts = [(s - s.mean(-1, keepdims=True) - y * (s * y).mean(-1, keepdims=True)) / deviation]
                case "add": parts = [b] * len(given)
                case "concatenate": parts = np.split(b, np.cumsum([v.shape[-1] for v in given])[:-1], -1)
                case "flatten" | "dropout": parts = [b.reshape(given[0].shape)]
            for n, part in zip(node.inputs, parts):
                slopes[n] = slopes[n] + part
        return slopes


def chain(layers, activations, slope=.01):
    """A network of (kernel of inputs × outputs, bias or None), an activation after each; after the last it may be left out."""
    nodes, weights = [Node("input", [], None, None)], {}
    names = list(activations) * (len(layers) - 1 if len(activations) == 1 else 1)
    for i, ((kernel, bias), name) in enumerate(zip(layers, names + ["linear"])):
        weights[i] = {"kernel": np.asarray(kernel, float)} | ({} if bias is None else {"bias": np.asarray(bias, float)})
        nodes.append(Node("dense", [len(nodes) - 1], i, None))
        if name == "softmax":
            nodes.append(Node("softmax", [len(nodes) - 1], None, None))
        elif name != "linear":
            nodes.append(Node("activation", [len(nodes) - 1], None, activation(name, slope)))
    return Network(nodes, weights)


def natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def bare(path, activations=None):
    """A file without architecture. PyTorch's `weight` is outputs × inputs, `kernel` and Keras' `vars/0` inputs × outputs. Without
    activations: those of the attributes of the groups, else relu between."""
    with h5py.File(path) as file:
        found, said = {}, {}
        file.visititems(lambda name, node: found.update({name: node}) if isinstance(node, h5py.Dataset) else said.update({name: node.attrs.get("activation")}))
        names = [re.fullmatch(r"(?:_?layers/)?(.*?)[/.](weight|kernel|vars/0)", name) for name in found if found[name].ndim == 2]
        names = sorted((m for m in names if m and "optimizer" not in m[0]), key=lambda m: natural(re.sub(r"^(dense)$", r"\1_0", m[1])))
        layers, told = [], []
        for m in names:
            kernel = np.asarray(found[m[0]][()], float)
            bias = found.get(m[0].removesuffix(m[2]) + ("vars/1" if m[2] == "vars/0" else "bias"))
            layers.append((kernel.T if m[2] == "weight" else kernel, None if bias is None else np.asarray(bias[()], float).ravel()))
            told.append(said.get(m[0].removesuffix("/" + m[2])))
        return chain(layers, activations or ([t.decode() if isinstance(t, bytes) else t for t in told] if all(t is not None for t in told) else ["relu"]))


def of_keras(model):
    """The graph of a Keras model; its functions are ours."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    nodes, weights, place = [], {}, {}

    def add(kind, inputs, key=None, function=None):
        nodes.append(Node(kind, inputs, key, function))

    def activate(name, **parameters):
        if name != "linear":
            add("softmax" if name == "softmax" else "activation", [len(nodes) - 1] if "given" not in parameters else parameters.pop("given"), None,
                None if name == "softmax" else lambda x: ACTIVATIONS[name](x, **parameters))

    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            layer, given = node.operation, [place[id(t)] for t in node.arguments.keras_tensors]
            of = lambda name: np.asarray(getattr(layer, name).value, float)
            match type(layer).__name__:
                case "InputLayer": add("input", [])
                case "Dense":
                    weights[layer.name] = {"kernel": of("kernel")} | ({"bias": of("bias")} if layer.use_bias else {})
                    add("dense", given, layer.name)
                    activate(layer.activation.__name__)
                case "BatchNormalization" | "LayerNormalization" as kind:
                    batch = kind[0] == "B"
                    weights[layer.name] = {"epsilon": layer.epsilon} | ({"mean": of("moving_mean"), "variance": of("moving_variance")} if batch else {})
                    weights[layer.name] |= ({"gamma": of("gamma")} if layer.scale else {}) | ({"beta": of("beta")} if layer.center else {})
                    add("batch" if batch else "layer", given, layer.name)
                case "Activation": activate(layer.activation.__name__, given=given)
                case "ReLU": activate("relu", given=given)
                case "LeakyReLU": activate("leaky_relu", given=given, slope=float(layer.negative_slope))
                case "ELU": activate("elu", given=given, alpha=float(layer.alpha))
                case "Softmax": activate("softmax", given=given)
                case "Add" | "Concatenate" | "Flatten" | "Dropout" as kind: add(kind.lower(), given)
                case kind: raise ValueError(f"a layer of class {kind}")
            place[id(node.output_tensors[0])] = len(nodes) - 1
    if place[id(graph.outputs[0])] != len(nodes) - 1:
        raise ValueError("the output is not the last node")
    return Network(nodes, weights)


def load(path, activations=None):
    if not zipfile.is_zipfile(path):
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                return bare(path, activations)
    return of_keras(keras.models.load_model(path, compile=False))


# Kernels

Kernels = collections.namedtuple("Kernels", "ck ntk")                      # ntk: one for each output


def kernels(network, x):
    """K_c = Σ_l (H_{l−1}ᵀH_{l−1} + 11ᵀ) ∘ (B_lᵀB_l), and what the factors and shifts of normalizations add."""
    values = network.values(x)
    weighted = [i for i, node in enumerate(network.nodes) if node.kind in ("dense", "batch", "layer")]
    pairs = [(i, j) for i in weighted for j in weighted if network.nodes[i].key == network.nodes[j].key]
    given = {i: values[network.nodes[i].inputs[0]] for i in weighted}
    for i in weighted:
        if network.nodes[i].kind != "dense":
            given[i] = network.normalised(network.nodes[i], given[i])
    products = {(i, j): given[i] @ given[j].T for i, j in pairs if network.nodes[i].kind == "dense"}
    logits, ntk = network.end(values), []
    for c in range(logits.shape[1]):
        slopes = network.backward(values, np.eye(logits.shape[1])[[c] * len(logits)])
        total = np.zeros((len(logits), len(logits)))
        for i, j in pairs:                                                 # i = j, or two calls of one layer
            w, b = network.weights[network.nodes[i].key], slopes[i] @ slopes[j].T
            if (i, j) in products:
                total += (products[i, j] + ("bias" in w)) * b
            else:
                total += ("beta" in w) * b + ("gamma" in w) * ((given[i] * slopes[i]) @ (given[j] * slopes[j]).T)
        ntk.append(total)
    h = given[network.last]
    return Kernels(h @ h.T, ntk)


def jacobian_kernels(network, x):
    """The NTKs from the derivative by every single weight: for small networks."""
    columns = []
    for w in network.weights.values():
        for name in [n for n in w if n in ("kernel", "bias", "gamma", "beta")]:
            before = w[name]
            for index in np.ndindex(before.shape):
                w[name] = before.astype(complex)
                w[name][index] += 1e-30j
                columns.append(np.imag(network.logits(x)) / 1e-30)
            w[name] = before
    jacobian = np.array(columns)                                           # weights × samples × outputs
    return [jacobian[..., c].T @ jacobian[..., c] for c in range(jacobian.shape[2])]


# Distances

def distances(a, b):
    """What `nc-verify --json` has for two kernels."""
    n = len(a)
    (la, ua), (lb, ub) = np.linalg.eigh(a), np.linalg.eigh(b)
    norm = lambda m: float(np.abs(np.linalg.eigvalsh(m)).max())
    over = lambda value, by: float(value / by) if by else None
    na, difference = norm(a), b - a
    shift, scale = np.trace(difference) / n, over((a * b).sum(), (a * a).sum())
    found = {"norm_a": na, "norm_b": norm(b), "relative_spectral_norm": over(norm(difference), na), "shift": float(shift),
             "residual_after_shift": over(norm(difference - shift * np.eye(n)), na), "scale": scale,
             "residual_after_scale": over(norm(b - scale * a), abs(scale) * na) if scale else None,
             "eigenvalue_distance": over(np.abs(la - lb).mean(), la.mean()), "subspace": None}
    la, ua, ub = la[::-1], ua[:, ::-1], ub[:, ::-1]
    if n > 1 and na:
        ratios = [la[k - 1] / la[k] if la[k] > 1e-12 * la[0] else np.inf for k in range(1, min(10, n - 1) + 1)]
        k = int(np.argmax(ratios)) + 1
        lb = lb[::-1]
        u, v = ua[:, :k], ub[:, :k]
        found["subspace"] = {"dimension": k, "gap": float(ratios[k - 1]) if np.isfinite(ratios[k - 1]) else None,
                             "sine": float(min(1.0, np.linalg.norm(v - u @ (u.T @ v), 2))) if lb[k - 1] > 1e-12 * max(lb[0], 0) and lb[0] > 0 else None,
                             "least": float(lb[k - 1] / lb[0]) if lb[0] > 0 else 0.0}
    centred = lambda m: m - m.mean(0) - m.mean(1)[:, None] + m.mean()
    p, q = centred(a), centred(b)
    found["alignment"] = over((p * q).sum(), np.linalg.norm(p) * np.linalg.norm(q))
    return found
