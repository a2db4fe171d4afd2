// SPDX-License-Identifier: Apache-2.0

internal import HDF5
public import Networks
public import SystemPackage
internal import Tensors

extension NetworkFile {
  /// Writes every tensor and the network as a new HDF5 file in the plain layout.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing.
  /// - Returns: bytes of the file.
  public func writePlain(to file: FileDescriptor) throws(NetworkError) -> Int {
    try writePlain(Array(tensors.indices), keptUnits: [:], to: file)
  }

  /// Writes such a file of smaller layers: without the hidden units that nothing after them uses, and without training
  /// state, whose shapes would no longer fit.
  public func writePlainReduced(to file: FileDescriptor) throws(NetworkError) -> ReductionReport {
    guard let network else {
      throw NetworkError(.unsupported, "cannot be reduced: \(Self.noNetwork)")
    }
    let reduction = try reduction(of: network)
    let kept = tensors.indices.filter { reduction.keptUnits.isEmpty || tensors[$0].role != .optimizer }
    let byteCount = try writePlain(kept, keptUnits: reduction.keptUnits, to: file)
    let dropped = kept.count < tensors.count ? [Reduction.stateIsLeftOut] : []
    return ReductionReport(layers: reduction.layers, byteCount: byteCount, notes: reduction.notes + dropped)
  }

  /// - Parameter keptUnits: what stays of tensors, by index.
  private func writePlain(
    _ indices: [Int], keptUnits: [Int: KeptUnits], to file: FileDescriptor
  ) throws(NetworkError) -> Int {
    let records = indices.map { tensors[$0] }
    let places = try PlainPlaces(of: records)
    let activations = activations(records, places)
    let limits = Limits(building: tensors.count, options: options)
    try about {
      var plain = try written { () throws(HDF5Error) in try NewFile(file, limits: limits) }
      try written { () throws(HDF5Error) in try plain.addGroup([], texts: rootTexts(records, places)) }
      for start in stride(from: 0, to: indices.count, by: Self.tensorsAtOnce) {
        let batch = start..<min(start + Self.tensorsAtOnce, indices.count)
        var additions: [NewFile.Addition] = []
        var datasets: [Int] = []
        for number in batch {
          let tensor = tensors[indices[number]]
          let (path, known) = places[number]
          for count in known..<max(known, path.count - 1) {
            let group = Array(path[...count])
            additions.append(.group(group, texts: activations[group].map { [.init("activation", $0.text)] } ?? []))
          }
          datasets.append(additions.count)
          additions.append(
            .dataset(
              path, type: Datatype(tensor.type),
              dimensions: (keptUnits[indices[number]]?.dimensions(of: tensor) ?? tensor.shape.dimensions).map(
                UInt64.init),
              texts: tensor.plainTexts))
        }
        let storage = try written { () throws(HDF5Error) in try plain.add(additions) }
        for (number, dataset) in zip(batch, datasets) {
          try writeValues(
            of: indices[number], keptUnits[indices[number]], to: file, at: Int(clamping: storage[dataset]?.offset ?? 0))
        }
      }
      didReach(tensors.count)
      try close(plain)
    }
    return try about { Int(try file.seek(offset: 0, from: .end)) }
  }

  /// Objects are made by so many: a message to the child takes longer than making one.
  private static let tensorsAtOnce = 1024

  func writeValues(
    of index: Int, _ keptUnits: KeptUnits?, to file: FileDescriptor, at offset: Int
  ) throws(NetworkError) {
    didReach(index)
    if let keptUnits { return try write(index, keptUnits, to: file, at: offset) }
    var offset = offset
    try forEachPiece(of: index) { piece in
      try writeBytes(piece, to: file, at: offset)
      offset += piece.count
    }
  }

  func close(_ plain: consuming NewFile) throws(NetworkError) {
    do throws(HDF5Error) { try plain.close() } catch { throw NetworkError(writing: error) }
  }

  /// Of a chain, the functions of the layers, by their groups.
  private func activations(_ tensors: [TensorRecord], _ places: PlainPlaces) -> [[LinkName]: Activation] {
    guard let activations = network?.activationsOfChain else { return [:] }
    var byGroup: [[LinkName]: Activation] = [:]
    for (index, tensor) in tensors.enumerated() {
      if let activation = activations[tensor.name] {
        byGroup[Array(places[index].path.dropLast())] = activation
      }
    }
    return byGroup
  }

  private func rootTexts(_ tensors: [TensorRecord], _ places: PlainPlaces) -> [NewFile.Text] {
    let format = [NewFile.Text("format", PlainFormat.name)]
    guard let network else { return format }
    var names: [TensorName: TensorName] = [:]
    for (index, tensor) in tensors.enumerated() { names[tensor.name] = TensorName(places[index].path.spelling) }
    let renamed = network.renamingTensors { names[$0] ?? $0 }
    return format + PlainFormat.texts(of: renamed)
  }
}

extension Network {
  /// Of a chain, the function applied to the output of each dense layer, by the name of its kernel; `nil` if the
  /// network is none.
  fileprivate var activationsOfChain: [TensorName: Activation]? {
    guard outputs == [nodes.count - 1],
      nodes.indices.allSatisfy({ nodes[$0].inputs == ($0 == 0 ? [] : [$0 - 1]) })
    else { return nil }
    var activations: [TensorName: Activation] = [:]
    for (index, node) in nodes.enumerated() {
      guard case .dense(let kernel, _) = node.operation, activations[kernel] == nil else { continue }
      var function = Activation.linear
      if index + 1 < nodes.count, case .activation(let next) = nodes[index + 1].operation { function = next }
      activations[kernel] = function
    }
    return activations
  }
}

extension Activation {
  /// As `--activation` takes it, as far as that has parameters.
  fileprivate var text: String {
    switch self {
    case .leakyReLU(let slope): "\(name):\(slope)"
    case .elu(let alpha): "\(name):\(alpha)"
    case .boundedReLU(let maximum?, 0, 0): "\(name):\(maximum)"
    case .piecewiseConstant(let levels, let thresholds):
      "steps:" + zip(levels, thresholds).map { "\($0)/\($1)/" }.joined() + "\(levels[levels.count - 1])"
    default: name
    }
  }
}
