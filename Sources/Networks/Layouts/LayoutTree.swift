// SPDX-License-Identifier: Apache-2.0

internal import HDF5
package import Tensors

/// The objects of a file by their links, so that a path leads to its object whichever of its names it goes through.
package struct ObjectTree {
  let table: TableOfContents
  /// The index of the root group.
  package let root: Int?
  private let children: [Link: Int]

  private struct Link: Hashable {
    let parent: Int
    let name: TensorName
  }

  init(_ table: TableOfContents) {
    self.table = table
    var byPath: [TensorName: Int] = [:]
    for (index, object) in table.objects.enumerated() {
      for path in object.paths { byPath[path] = index }
    }
    var children: [Link: Int] = [:]
    for (index, object) in table.objects.enumerated() {
      for path in object.paths where !path.isEmpty {
        let (parent, name) = path.splitAtLast("/")
        if let parent = byPath[parent] { children[Link(parent: parent, name: name)] = index }
      }
    }
    self.children = children
    root = byPath[""]
  }

  /// The object a path leads to, from an object or the root, through hard links alone.
  func object(at path: TensorName, from start: Int? = nil) -> Int? {
    var current = start ?? root
    for component in path.components where component != "." {
      guard let parent = current else { return nil }
      current = children[Link(parent: parent, name: component)]
    }
    return current
  }

  package func hasAttribute(_ name: TensorName, of object: Int?) -> Bool {
    guard let object else { return false }
    return table.objects[object].attributes.contains { $0.name == name }
  }

  /// The one string of a text attribute.
  package func text(_ name: TensorName, of object: Int?) -> String? {
    guard let texts = texts(name, of: object), texts.count == 1 else { return nil }
    return texts[0]
  }

  /// The strings of a text attribute; an attribute that is no text, as Keras writes an empty list, has none.
  func texts(_ name: TensorName, of object: Int?) -> [String]? {
    object.flatMap { table.objects[$0].texts(name) }
  }

  /// The strings of a list that may be split into attributes `name0`, `name1`, … where it is too long for one.
  func list(_ name: TensorName, of object: Int?) -> [String]? {
    if let whole = texts(name, of: object) { return whole }
    var list: [String]?
    var part = 0
    while let next = texts("\(name)\(part)", of: object) {
      list = (list ?? []) + next
      part += 1
    }
    return list
  }
}

extension Object {
  fileprivate func texts(_ name: TensorName) -> [String]? {
    attributes.first { $0.name == name }.map { $0.texts ?? [] }
  }
}

extension TableOfContents {
  /// The one string of a text attribute of the root group.
  func rootText(_ name: TensorName) -> String? {
    guard let texts = objects.first(where: { $0.paths.contains("") })?.texts(name), texts.count == 1 else { return nil }
    return texts[0]
  }
}
