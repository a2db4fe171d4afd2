// SPDX-License-Identifier: Apache-2.0

package import Tensors

/// How a family of programs names the matrix and the bias of a dense layer, in files that have no lists of layers.
struct DenseNaming {
  let kernel: TensorName
  let bias: TensorName
  /// Which way round the matrix is stored; `nil` where programs differ, so that the shapes must tell.
  let orientation: MatrixOrientation?

  /// The first that fits counts. Where programs are cited: `spec/network-hdf5.md` §4.1.
  static let known = [
    // Keras, TensorFlow, Flax
    DenseNaming(kernel: "kernel", bias: "bias", orientation: .inputsByOutputs),
    // PyTorch
    DenseNaming(kernel: "weight", bias: "bias", orientation: .outputsByInputs),
    // Chainer has outputs × inputs; Lasagne, TFLearn and the tutorials of Theano inputs × outputs.
    DenseNaming(kernel: "W", bias: "b", orientation: nil),
    // Haiku and Sonnet have inputs × outputs, people's own code either.
    DenseNaming(kernel: "w", bias: "b", orientation: nil),
    // TF-Slim has inputs × outputs, people's own code either.
    DenseNaming(kernel: "weights", bias: "biases", orientation: nil),
    DenseNaming(kernel: "weights", bias: "bias", orientation: nil),
  ]

  static let kernels = Set(known.map(\.kernel))
  static let biases = Set(known.map(\.bias))
  static let names = kernels.union(biases)
}

/// What the path of a dataset says of its place in a layer.
package struct WeightName {
  /// Shared by the tensors of one layer, and by no others.
  var group: TensorName
  /// What the layer is called; empty where the path has no layer.
  var layer: TensorName
  /// `kernel`, `bias`, `W`, …: without `:0`, a number, or the layer's name before it.
  var weight: TensorName
  /// Whether the name is spelled in a way of somebody's own, which says nothing about the orientation of a matrix:
  /// `W1`, `fc1_weights`.
  var isOwnSpelling = false
  /// Whether only a bias beside it makes it the matrix of a layer.
  var needsBias = false

  /// `LAYER/WEIGHT`, `LAYER.WEIGHT`; `W1` and `b_1`, whose layers are numbered; `fc1_W`, whose layer stands before.
  ///
  /// - Parameter isPlain: whether there are no other spellings than the first two.
  init(path: TensorName, isPlain: Bool = false) {
    let (layer, full) = Self.split(path)
    let spelled = full.withoutOutputNumber
    (self.layer, group, weight) = (layer, layer, spelled)
    let stems = DenseNaming.names
    if isPlain || stems.contains(spelled) { return }
    let number = spelled.numberAtEnd
    let stem = TensorName(Substring(spelled.utf8.dropLast(number.utf8.count)))
    let plain = stem.hasSuffix("_") ? TensorName(Substring(stem.utf8.dropLast())) : stem
    if !number.isEmpty, stems.contains(plain) {
      weight = plain
      group = "\(layer)#\(number)"
      self.layer = path
      isOwnSpelling = true
      return
    }
    let (before, after) = spelled.splitAtLast("_")
    if !before.isEmpty, stems.contains(after), !Self.attention.contains(spelled) {
      weight = after
      self.layer = layer.isEmpty ? before : "\(layer)/\(before)"
      group = "\(layer)/\(before)_"
      isOwnSpelling = true
      needsBias = true
    }
  }

  /// A path cut at its last slash or dot, whichever comes last.
  package static func split(_ path: TensorName) -> (layer: TensorName, weight: TensorName) {
    let slash = path.splitAtLast("/")
    let dot = slash.after.splitAtLast(".")
    guard !dot.before.isEmpty else { return (slash.before, slash.after) }
    return (slash.before.isEmpty ? dot.before : "\(slash.before)/\(dot.before)", dot.after)
  }

  /// What PyTorch's `MultiheadAttention` calls its matrices.
  static let attention: Set<TensorName> = [
    "in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight",
  ]
}

/// Words in the names of layers by which their kind is known. All are compared in lower case.
enum LayerWords {
  /// The kind that the name of a layer, its innermost part, says; `nil` when it says none.
  ///
  /// - Parameter isBare: whether the matrix stands alone, without a bias, as the tables of embeddings do.
  static func role(layer: TensorName, weight: TensorName, shape: Shape?, isBare: Bool) -> TensorRole? {
    if WeightName.attention.contains(weight) { return TensorRole.attention }
    let name = Array(layer.text.lowercased().utf8)
    let parts = name.split { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ".") }
    let innermost = parts.last ?? []
    let words = innermost.split { $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-") }.map { $0.drop(while: \.isDigit) }
    let end = innermost.lastIndex { !$0.isDigit && $0 != UInt8(ascii: "_") }
    let stem = String(decoding: end.map { innermost[...$0] } ?? [], as: UTF8.self)
    let outer = parts.dropLast().suffix(2)
    if recurrentWeights.contains(where: weight.hasPrefix) || words.contains(where: isRecurrent)
      || (cellParts.contains(stem) && outer.contains { isRecurrent($0) || $0.elementsEqual("cell".utf8) })
    {
      return .recurrent
    }
    if embeddingWeights.contains(weight) { return .embedding }
    guard isBare, shape?.rank == 2, let rows = shape?.dimensions[0], let columns = shape?.dimensions[1] else {
      return nil
    }
    if contains(name[...], "embed") || tables.contains(stem) || words.contains(where: { $0.elementsEqual("emb".utf8) })
      || tableEndings.contains(where: stem.hasSuffix)
    {
      return .embedding
    }
    // As good a name for a layer that is used twice.
    return stem == "shared" && rows >= 4 * columns ? .embedding : nil
  }

  private static func isRecurrent(_ word: ArraySlice<UInt8>) -> Bool {
    contains(word, "lstm") || contains(word, "rnn") || word.starts(with: "gru".utf8)
      || word.suffix(3).elementsEqual("gru".utf8)
  }

  private static func contains(_ name: ArraySlice<UInt8>, _ word: String) -> Bool {
    name.indices.contains { name[$0...].starts(with: word.utf8) }
  }

  private static let recurrentWeights: [TensorName] = [
    "weight_ih", "weight_hh", "recurrent_kernel", "bias_ih", "bias_hh",
  ]
  /// What Haiku and Flax call the matrices of a cell.
  private static let cellParts: Set<String> = [
    "linear", "ii", "if", "ig", "io", "hi", "hf", "hg", "ho", "ir", "iz", "in", "hr", "hz", "hn", "i", "h",
  ]
  private static let embeddingWeights: Set<TensorName> = ["embeddings", "embedding"]
  /// Tables of GPT-2, T5, word2vec and of recommenders.
  private static let tables: Set<String> = ["wte", "wpe", "lookup", "lookup_table", "vocab", "vocabulary", "word2vec"]
  private static let tableEndings = ["_emb", "_vectors", "_vecs", "_factors", "_lookup", "_lookup_table"]
}

extension TensorName {
  /// Without the `:0` by which TensorFlow numbers the outputs of an operation.
  var withoutOutputNumber: TensorName {
    let (name, number) = splitAtLast(":")
    return name.isEmpty || Int(number.text) == nil ? self : name
  }

  /// The decimal digits it ends with.
  fileprivate var numberAtEnd: TensorName {
    dropFirst(utf8.count - utf8.reversed().prefix(while: \.isDigit).count)
  }
}
