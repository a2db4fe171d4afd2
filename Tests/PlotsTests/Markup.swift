// SPDX-License-Identifier: Apache-2.0

/// The elements, attributes and texts of well-formed markup; nil for any other.
struct Markup {
  private(set) var elements: [String] = []
  private(set) var attributes: [(name: String, value: String)] = []
  /// Text outside elements' tags, entities resolved.
  private(set) var texts: [String] = []

  init?(_ source: String) {
    var rest = Substring(source)
    if rest.hasPrefix("<!DOCTYPE html>") { rest.removeFirst("<!DOCTYPE html>".count) }
    var open: [String] = []
    while !rest.isEmpty {
      let text = rest.prefix { $0 != "<" }
      guard let resolved = Self.resolved(text) else { return nil }
      if resolved.contains(where: { !$0.isWhitespace }) {
        if open.isEmpty { return nil }
        texts.append(resolved)
      }
      rest = rest.dropFirst(text.count)
      guard rest.popFirst() != nil else { break }
      if rest.first == "/" {
        let name = rest.dropFirst().prefix { $0 != ">" }
        guard open.popLast() == String(name) else { return nil }
        rest = rest.dropFirst(name.count + 2)
        continue
      }
      let name = String(rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber) })
      if name.isEmpty { return nil }
      elements.append(name)
      rest = rest.dropFirst(name.count)
      while rest.first == " " {
        let attribute = rest.dropFirst().prefix { $0.isLetter || $0.isNumber || $0 == "-" }
        rest = rest.dropFirst(attribute.count + 1)
        guard !attribute.isEmpty, rest.hasPrefix("=\"") else { return nil }
        let value = rest.dropFirst(2).prefix { $0 != "\"" }
        rest = rest.dropFirst(value.count + 2)
        guard !value.contains("<"), let resolved = Self.resolved(value), rest.popFirst() == "\"" else { return nil }
        attributes.append((String(attribute), resolved))
      }
      if rest.hasPrefix("/>") {
        rest = rest.dropFirst(2)
      } else {
        guard rest.popFirst() == ">" else { return nil }
        open.append(name)
      }
    }
    guard open.isEmpty else { return nil }
  }

  private static func resolved(_ text: Substring) -> String? {
    guard !text.contains(">") else { return nil }
    var parts = text.split(separator: "&", omittingEmptySubsequences: false).map(String.init)
    for index in parts.indices.dropFirst() {
      let entities = [("amp;", "&"), ("lt;", "<"), ("gt;", ">"), ("quot;", "\"")]
      guard let (entity, character) = entities.first(where: { parts[index].hasPrefix($0.0) }) else { return nil }
      parts[index] = character + parts[index].dropFirst(entity.count)
    }
    return parts.joined()
  }
}
