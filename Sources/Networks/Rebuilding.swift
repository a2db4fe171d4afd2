internal import Compression
internal import Tensors

extension NetworkFile {
  /// What a step makes of the values of a weight matrix, from the options that its history records: nothing for one that
  /// depends on other tensors, or that this version does not know.
  ///
  /// Whether it is what the step had made, the digest that the next step recorded says.
  func rebuild(_ values: UnsafeRawBufferPointer, _ tensor: TensorRecord, by step: Step) -> Weights? {
    guard tensor.type.isFloat, tensor.shape.rank > 0, let settings = StepSettings(step.options) else { return nil }
    let (rows, columns) = tensor.sourceExtents
    let (type, transposed, threads) = (tensor.type, tensor.isTransposed, options.threads)
    switch step.tool {
    case "nc-ternarize":
      guard tensor.shape.rank == 2, let group = settings.scaleGroup, settings.remains(["scale-per", "sparsity"])
      else { return nil }
      var rule = TernaryRule.optimal
      if let text = settings["sparsity"] {
        guard let fraction = Fraction(text) else { return nil }
        rule = .sparsity(fraction)
      }
      let result = try? Compression.ternarize(
        values, type: type, rows: rows, columns: columns, transposed: transposed, group: group, rule: rule,
        threads: threads)
      return result.map { .ternary($0.matrix, transposed: transposed) }
    case "nc-prune":
      guard let rule = settings.pruningRule else { return nil }
      if settings["by"] == "singular-value" {
        guard settings.remains(["by", "keep", "max-error"]), min(rows, columns) <= 2048,
          let needed = try? singularValueByteCount(rows: rows, columns: columns, vectors: true),
          needed <= options.memory
        else { return nil }
        let result = try? Compression.pruneSingularValues(
          values, type: type, rows: rows, columns: columns, transposed: transposed, rule: rule, threads: threads)
        return result.map { .lowRank($0.matrix, transposed: transposed) }
      }
      guard settings.remains(["keep", "max-error", "values"]) else { return nil }
      let kept: KeptValues
      switch settings["values"] {
      case nil: kept = tensor.encoding.keptValues
      case "float16": kept = .float16
      case "bfloat16": kept = .bfloat16
      case "ternary":
        guard let cut = try? magnitudeCut(values, type: type, rule: rule, threads: threads) else { return nil }
        let result = try? Compression.ternarize(
          values, type: type, rows: rows, columns: columns, transposed: transposed, cut: cut, threads: threads)
        return result.map { .ternary($0.matrix, transposed: transposed) }
      default: return nil
      }
      let result = try? pruneMagnitude(
        values, type: type, rows: rows, columns: columns, transposed: transposed, rule: rule, values: kept,
        threads: threads)
      return result.map { .sparse($0.matrix, transposed: transposed) }
    default: return nil
    }
  }
}

/// Options as a history spells them: `--name value` pairs.
private struct StepSettings {
  private var values: [String: String] = [:]

  init?(_ text: String) {
    let words = text.split(separator: " ").map(String.init)
    guard words.count % 2 == 0 else { return nil }
    for i in stride(from: 0, to: words.count, by: 2) {
      guard words[i].hasPrefix("--") else { return nil }
      values[String(words[i].dropFirst(2))] = words[i + 1]
    }
  }

  subscript(name: String) -> String? { values[name] }

  /// Whether there are no others.
  func remains(_ known: Set<String>) -> Bool { known.isSuperset(of: values.keys) }

  var scaleGroup: ScaleGroup? {
    switch values["scale-per"] {
    case "tensor": .tensor
    case "row": .row
    case let text?: Int(text).flatMap { $0 > 0 ? .inputs($0) : nil }
    case nil: nil
    }
  }

  var pruningRule: PruningRule? {
    if let keep = values["keep"] { return Fraction(keep).map { .keep($0) } }
    return values["max-error"].flatMap(Double.init).flatMap { $0 >= 0 ? .error($0) : nil }
  }
}
