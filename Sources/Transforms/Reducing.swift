// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import HDF5
internal import JSON
internal import Matrices
public import Networks
internal import Parallel
public import SystemPackage
internal import Tensors

/// What was left out of a file that was restored smaller.
public struct ReductionReport: Sendable {
  /// A layer with fewer units.
  public struct Layer: Sendable, Equatable {
    public var name: String
    public var units: Int
    public var removed: Int
  }

  /// In the order of the network.
  public var layers: [Layer]
  /// Bytes of the file that was written.
  public var byteCount: Int
  /// What a user should be told.
  public var notes: [String]

  public init(layers: [Layer] = [], byteCount: Int, notes: [String] = []) {
    self.layers = layers
    self.byteCount = byteCount
    self.notes = notes
  }

  /// `removed 150 of 300 nodes of fc1, 50 of 100 of fc2`
  public var summary: String {
    if layers.isEmpty { return "no node can be removed" }
    let each = layers.enumerated().map { index, layer in
      "\(layer.removed) of \(layer.units)\(index == 0 ? " nodes" : "") of \(layer.name)"
    }
    return "removed \(each.joined(separator: ", "))"
  }
}

extension NetworkFile {
  /// Writes the source file with smaller layers: without the hidden units that nothing after them uses.
  ///
  /// A unit is removed when it has no outgoing weights but zeros, to units that stay; one unit stays of every layer.
  /// What the network computes is the same. Training state is left out as well, since its shapes would no longer fit.
  /// Where no unit can be removed, the file is the source file as it is.
  ///
  /// - Parameter file: seekable, empty, open for reading and writing.
  public func restoreReduced(to file: FileDescriptor) throws(NetworkError) -> ReductionReport {
    guard case .ncz = source else { return try writeReduced(to: file, stated: nil) }
    // What is read from it is as it will be read from the restored file: filters may round.
    let whole = try temporaryFile()
    defer { try? whole.close() }
    let size = try restore(to: whole)
    var options = options
    options.progress = nil
    return try NetworkFile(whole, size: size, options: options).writeReduced(to: file, stated: network)
  }

  /// - Parameter stated: the network, where the file itself does not describe it.
  private func writeReduced(to file: FileDescriptor, stated: Network?) throws(NetworkError) -> ReductionReport {
    guard case .hdf5(let source) = source else { throw NetworkError(.unsupported, "no HDF5 file") }
    let architecture = try source.architecture(stated: stated ?? network)
    let reduction = try reduction(of: architecture.network)
    var notes = reduction.notes
    guard !reduction.keptUnits.isEmpty else {
      for start in stride(from: 0, to: size, by: 1 << 20) {
        try writeBytes(try read(source.file, at: start, count: min(1 << 20, size - start)), to: file, at: start)
      }
      return ReductionReport(layers: [], byteCount: size, notes: notes)
    }
    let configuration = try architecture.configuration(reduction.widths)
    if configuration == nil, let reason = architecture.isCopied { notes.append(reason) }
    let state = source.trainingState
    if !state.isEmpty { notes.append(Reduction.stateIsLeftOut) }
    let hdf5 = try source.hdf5File()
    defer { if source.containerKind == .keras { try? hdf5.close() } }
    switch source.containerKind {
    case .hdf5:
      notes += try copy(hdf5, source, reduction, without: state, configuration: configuration, to: file)
    case .keras:
      let weights = try temporaryFile()
      defer { try? weights.close() }
      notes += try copy(hdf5, source, reduction, without: state, configuration: nil, to: weights)
      try KerasArchive.copy(
        source.file, size: size, weights: weights, configuration: configuration, to: file)
    }
    let byteCount = try about { Int(try file.seek(offset: 0, from: .end)) }
    return ReductionReport(layers: reduction.layers, byteCount: byteCount, notes: notes)
  }

  /// Checks that everything beside the dense matrices can be copied to a file of smaller layers.
  func checkReducible() throws(NetworkError) {
    guard case .hdf5(let source) = source else { return }
    let hdf5 = try source.hdf5File()
    defer { if source.containerKind == .keras { try? hdf5.close() } }
    var changes = CopyChanges(without: source.trainingState)
    let matrices = Set(tensors.filter(\.isDenseMatrix).compactMap(\.path))
    for object in source.contents.objects where object.paths.contains(where: matrices.contains) {
      guard case .dataset(let dataset) = object.kind, let dimensions = dataset.dimensions else { continue }
      changes.dimensions[object.address] = dimensions
    }
    let copy = try temporaryFile()
    defer { try? copy.close() }
    let (limits, changed) = (Limits(size: size, options: options), changes)
    _ = try about { try copyFile(hdf5, to: copy, changing: changed, limits: limits) }
  }

  /// Copies an HDF5 file, with the smaller tensors in the place of their datasets.
  ///
  /// - Returns: what a user should be told.
  private func copy(
    _ hdf5: FileDescriptor, _ source: HDF5Source, _ reduction: Reduction, without state: [[LinkName]],
    configuration: [UInt8]?, to file: FileDescriptor
  ) throws(NetworkError) -> [String] {
    var addresses: [TensorName: UInt64] = [:]
    for object in source.contents.objects {
      for path in object.paths { addresses[path] = object.address }
    }
    var changes = CopyChanges(without: state)
    var tensorAt: [UInt64: Int] = [:]
    for (index, keptUnits) in reduction.keptUnits {
      guard let address = tensors[index].path.flatMap({ addresses[$0] }) else {
        throw NetworkError(.corrupt, "\(tensors[index].name): no longer in the file")
      }
      changes.dimensions[address] = keptUnits.dimensions(of: tensors[index]).map(UInt64.init)
      tensorAt[address] = index
    }
    if let configuration {
      changes.texts = [NewFile.Text("model_config", String(decoding: configuration, as: UTF8.self))]
    }
    let limits = Limits(size: size, options: options)
    let changed = changes
    let copied = try about { try copyFile(hdf5, to: file, changing: changed, limits: limits) }
    for (address, place) in copied.places.sorted(by: { $0.key < $1.key }) {
      guard let index = tensorAt[address], let keptUnits = reduction.keptUnits[index] else { continue }
      let byteCount = keptUnits.byteCount(of: tensors[index])
      guard byteCount == place.length else {
        throw NetworkError(.corrupt, "\(tensors[index].name): \(byteCount) bytes for a dataset of \(place.length)")
      }
      try write(
        index, keptUnits, isBigEndian: tensors[index].byteOrder == .big, to: file, at: Int(clamping: place.offset))
    }
    let userBlock = Int(clamping: source.contents.userBlock)
    try writeBytes(try read(hdf5, at: 0, count: userBlock), to: file, at: 0)
    return copied.leftBehind.map { "left behind: \($0)" }
  }

  /// Writes what stays of a tensor.
  func write(
    _ index: Int, _ keptUnits: KeptUnits, isBigEndian: Bool = false, to file: FileDescriptor, at offset: Int
  ) throws(NetworkError) {
    let tensor = tensors[index]
    var offset = offset
    try forEachRows(of: index) { values, rows in
      try keptUnits.forEachPiece(of: values, rows: rows, tensor) { piece in
        if isBigEndian { swapBytes(&piece, elementSize: tensor.type.byteCount) }
        try writeBytes(piece, to: file, at: offset)
        offset += piece.count
      }
    }
  }
}

// MARK: - What is removed

/// The rows and columns that tensors lose.
struct Reduction {
  var layers: [ReductionReport.Layer] = []
  var keptUnits: [Int: KeptUnits] = [:]
  /// Of the values of the network's nodes, where they change.
  var widths: [Int: WidthChange] = [:]
  var notes: [String] = []

  static let stateIsLeftOut = "training state is left out: its shapes would no longer fit"
}

/// What stays of a tensor: of a matrix output units and inputs, of a vector its elements.
struct KeptUnits: Equatable {
  var outputs: [Bool]?
  var inputs: [Bool]?

  /// The tensor as rows and columns, and what stays of them; `nil` for all. What is no matrix is one row.
  private func axes(of tensor: TensorRecord) -> (rows: [Bool]?, columns: [Bool]?, dimensions: [Int]) {
    guard tensor.isDenseMatrix else { return (nil, outputs, [1, tensor.shape.count]) }
    return tensor.isTransposed ? (inputs, outputs, tensor.shape.dimensions) : (outputs, inputs, tensor.shape.dimensions)
  }

  func dimensions(of tensor: TensorRecord) -> [Int] {
    let (rows, columns, dimensions) = axes(of: tensor)
    let remaining = zip([rows, columns], dimensions).map { kept, dimension in kept.map { $0.count { $0 } } ?? dimension
    }
    // A vector may have more axes, of dimension 1.
    return tensor.isDenseMatrix ? remaining : tensor.shape.dimensions.map { $0 == 1 ? 1 : remaining[1] }
  }

  func byteCount(of tensor: TensorRecord) -> Int {
    dimensions(of: tensor).reduce(tensor.type.byteCount) { $0 * $1 }
  }

  /// Calls `body` with the elements that stay, of those of some rows, row-major, about a MiB at a time.
  func forEachPiece(
    of values: UnsafeRawBufferPointer, rows some: Range<Int>, _ tensor: TensorRecord,
    _ body: (inout [UInt8]) throws -> Void
  ) rethrows {
    let (rows, columns, dimensions) = axes(of: tensor)
    let size = tensor.type.byteCount
    // Runs of bytes that stay together in each row.
    var runs: [Range<Int>] = []
    for column in 0..<dimensions[1] where columns?[column] ?? true {
      if let last = runs.last, last.upperBound == column * size {
        runs[runs.count - 1] = last.lowerBound..<((column + 1) * size)
      } else {
        runs.append((column * size)..<((column + 1) * size))
      }
    }
    var piece: [UInt8] = []
    for row in some where rows?[row] ?? true {
      let start = (row - some.lowerBound) * dimensions[1] * size
      for run in runs { piece += values[(start + run.lowerBound)..<(start + run.upperBound)] }
      if piece.count >= 1 << 20 {
        try body(&piece)
        piece.removeAll(keepingCapacity: true)
      }
    }
    if !piece.isEmpty { try body(&piece) }
  }
}

extension NetworkFile {
  /// The hidden units that can go, last layer first: an outgoing weight to a unit that is gone does not count.
  func reduction(of network: Network) throws(NetworkError) -> Reduction {
    var byName: [TensorName: Int] = [:]
    for (index, tensor) in tensors.enumerated() { byName[tensor.name] = index }
    let (hidden, _) = network.hiddenLayers()
    var reduction = Reduction()
    for layer in hidden.reversed() {
      let hidden: HiddenLayerTensors
      do throws(HiddenLayerTensors.Misfit) {
        hidden = try HiddenLayerTensors(layer, in: tensors, byName)
      } catch {
        reduction.notes.append("\(layer.kernel): \(error.reason): all nodes stay")
        continue
      }
      var kept = try usedUnits(of: hidden, reduction.keptUnits)
      guard kept.contains(false) else { continue }
      // Frameworks have no layers without units.
      if !kept.contains(true) { kept[0] = true }
      let count = kept.count { $0 }
      if count == kept.count { continue }
      reduction.keptUnits[hidden.kernel, default: KeptUnits()].outputs = kept
      for vector in hidden.vectors { reduction.keptUnits[vector] = KeptUnits(outputs: kept) }
      for consumer in hidden.consumers { reduction.keptUnits[consumer.kernel, default: KeptUnits()].inputs = kept }
      for node in layer.nodes { reduction.widths[node] = WidthChange(before: kept.count, after: count) }
      reduction.layers.append(
        ReductionReport.Layer(
          name: WeightName.split(layer.kernel).layer.text, units: kept.count, removed: kept.count - count))
    }
    reduction.layers.reverse()
    reduction.notes.reverse()
    return reduction
  }

  /// Which units of a layer are used, or may not be finite, so that zeros times their values are no zeros.
  private func usedUnits(
    of hidden: HiddenLayerTensors, _ keptUnits: [Int: KeptUnits]
  ) throws(NetworkError) -> [Bool] {
    let threads = options.threads
    var kept = [Bool](repeating: false, count: hidden.units)
    for consumer in hidden.consumers {
      try forEachSlice(of: consumer.kernel) { matrix, outputs, inputs in
        let units = keptUnits[consumer.kernel]?.outputs.map { Array($0[outputs]) }
        let unused = matrix.unusedInputs(
          by: units ?? [Bool](repeating: true, count: outputs.count), threads: threads)
        for (unit, isUnused) in zip(inputs, unused) where !isUnused { kept[unit] = true }
      }
    }
    guard kept.contains(false) else { return kept }
    try forEachSlice(of: hidden.kernel) { matrix, outputs, _ in
      for (unit, isFinite) in zip(outputs, matrix.finiteOutputs(threads: threads)) where !isFinite { kept[unit] = true }
    }
    for vector in hidden.vectors {
      let numbers = tensors[vector].type.numbers(try values(of: vector))
      for (unit, number) in numbers.enumerated() where !number.isFinite { kept[unit] = true }
    }
    return kept
  }

  /// Calls `body` with slices of a weight matrix, and the output units and inputs that they hold.
  private func forEachSlice(
    of index: Int, _ body: (StoredMatrix, _ outputs: Range<Int>, _ inputs: Range<Int>) throws -> Void
  ) throws(NetworkError) {
    let tensor = tensors[index]
    let columns = 0..<tensor.shape.dimensions[1]
    try forEachRows(of: index) { values, rows in
      let matrix = StoredMatrix(
        values, type: tensor.type, rows: rows.count, columns: columns.count, transposed: tensor.isTransposed)
      try body(matrix, tensor.isTransposed ? columns : rows, tensor.isTransposed ? rows : columns)
    }
  }

  /// Calls `body` with the values of rows of a matrix, in order: of all where they are at hand in a file, else of as
  /// many as are decoded at once. What is no matrix is one row.
  private func forEachRows(
    of index: Int, _ body: (UnsafeRawBufferPointer, _ rows: Range<Int>) throws -> Void
  ) throws(NetworkError) {
    let tensor = tensors[index]
    let (rows, columns) =
      tensor.isDenseMatrix ? (tensor.shape.dimensions[0], tensor.shape.dimensions[1]) : (1, tensor.shape.count)
    guard kind == .ncz, tensor.size > Self.maxDecodedBytes else {
      return try withValues(of: index) { try body($0, 0..<rows) }
    }
    try checkMemory(tensor)
    let rowBytes = columns * tensor.type.byteCount
    let together = max(1, Self.maxDecodedBytes / rowBytes)
    let stream = try ValueStream(self, index)
    try about(tensor.name) {
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: min(together, rows) * rowBytes, alignment: 64)
      defer { room.deallocate() }
      for first in stride(from: 0, to: rows, by: together) {
        let some = first..<min(rows, first + together)
        let values = UnsafeMutableRawBufferPointer(rebasing: room[..<(some.count * rowBytes)])
        try stream.read(into: values)
        try body(UnsafeRawBufferPointer(values), some)
      }
    }
  }

  /// Bytes of values that are decoded at once.
  private static let maxDecodedBytes = 32 << 20
}

extension HiddenLayerTensors {
  /// The tensors that have one number for every unit.
  var vectors: [Int] {
    (bias.map { [$0] } ?? []) + consumers.flatMap { $0.path.flatMap(\.vectors) }
  }
}

// MARK: - What the file says

/// How a file describes its network.
struct Architecture {
  var network: Network
  /// The configuration of a Keras file, as far as it can be rewritten.
  fileprivate var described:
    (configuration: KerasConfiguration, applications: [KerasNetwork.Application], json: JSONValue)?
  /// Why it is copied as it is.
  fileprivate var isCopied: String?

  /// The text of the configuration for layers of other widths; `nil` where there is none to rewrite.
  fileprivate func configuration(_ widths: [Int: WidthChange]) throws(NetworkError) -> [UInt8]? {
    guard let (configuration, applications, json) = described else { return nil }
    return ReducedConfiguration(configuration, applications: applications, widths: widths).rewriting(json).serialized()
  }
}

extension HDF5Source {
  /// - Parameter stated: the network, where the file does not describe it.
  fileprivate func architecture(stated: Network?) throws(NetworkError) -> Architecture {
    let text = try configurationText()
    let layout = LayoutVariables(contents, configuration: text)
    func refused(_ reason: String) -> NetworkError { NetworkError(.unsupported, "cannot be reduced: \(reason)") }
    if let configuration = layout.configuration, configuration.describesLayers {
      do {
        let built = try KerasNetwork.buildWithApplications(configuration, variables: layout.variables)
        let stored = layout.tree.text("model_config", of: layout.tree.root).map { Array($0.utf8) }
        let json = try JSONValue.parse(text ?? stored ?? [], nonFinite: true)
        return Architecture(network: built.network, described: (configuration, built.applications, json))
      } catch let error as KerasNetwork.Contradiction {
        throw refused("the architecture in the file cannot be used: \(error.what)")
      } catch {
        throw refused("the architecture in the file cannot be used: \(error)")
      }
    }
    if text != nil || layout.tree.hasAttribute("model_config", of: layout.tree.root), layout.configuration == nil {
      throw refused(layout.notes.first ?? "the model configuration cannot be used")
    }
    guard let stated else { throw refused("how its layers are connected is not known") }
    return Architecture(
      network: stated,
      isCopied: layout.configuration == nil
        ? nil : "the model configuration describes no layers and is copied as it is")
  }

  /// The configuration that stands beside the HDF5 file, in an archive.
  private func configurationText() throws(NetworkError) -> [UInt8]? {
    guard containerKind == .keras else { return nil }
    let size = try about { Int(try file.seek(offset: 0, from: .end)) }
    return try KerasArchive(file, size: size).configuration.map { member throws(NetworkError) in
      try read(file, at: member.offset, count: member.size)
    }
  }

  /// The HDF5 file by itself; a temporary copy, to be closed, where it is in an archive.
  fileprivate func hdf5File() throws(NetworkError) -> FileDescriptor {
    guard containerKind == .keras else { return file }
    let size = try about { Int(try file.seek(offset: 0, from: .end)) }
    let weights = try KerasArchive(file, size: size).weights
    return try temporaryCopy(of: file, at: weights.offset, count: weights.size)
  }

  /// Links to training state and to nothing else: the outermost groups, or datasets, that have no other dataset.
  fileprivate var trainingState: [[LinkName]] {
    var state: [TensorName] = []
    // The datasets that stay, and the groups they are in.
    var others: Set<TensorName> = []
    for tensor in reading.tensors {
      for path in contents.objects[tensor.object].paths {
        if tensor.role == .optimizer {
          state.append(path)
          continue
        }
        var rest = path
        while !rest.isEmpty, others.insert(rest).inserted { rest = rest.splitAtLast("/").before }
      }
    }
    var seen: Set<TensorName> = []
    return state.compactMap { path in
      let components = path.components
      let outermost = components.indices.lazy.map { components[...$0].joined(separator: "/") }
        .first { !others.contains($0) }
      guard let outermost, seen.insert(outermost).inserted else { return nil }
      return LinkName.path(outermost)
    }
  }
}
