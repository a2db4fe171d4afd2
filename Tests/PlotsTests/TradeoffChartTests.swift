// SPDX-License-Identifier: Apache-2.0

import Plots
import Testing

@Suite struct TradeoffChartTests {
  private func point(_ bytes: Int, _ accuracy: Double) -> TradeoffChart.Point {
    .init(bytes: bytes, accuracy: accuracy, label: "\(bytes)")
  }

  private func chart(_ curves: [TradeoffChart.Curve], title: String = "net.h5") -> TradeoffChart {
    TradeoffChart(title: title, original: point(1_000_000, 0.9), curves: curves)
  }

  private func values(_ markup: Markup, _ attribute: String) -> [String] {
    markup.attributes.filter { $0.name == attribute }.map(\.value)
  }

  /// Points of a curve go from few bytes to many, whatever order they come in, and each step of a factor is as wide.
  @Test func curvesGoFromLeftToRight() throws {
    let source = chart([.init("a", [point(100_000, 0.8), point(10_000, 0.6), point(1_000_000, 0.9)])]).document
    let markup = try #require(Markup(source))
    let line = try #require(values(markup, "points").first)
    let x = line.split(separator: " ").compactMap { Double($0.prefix { $0 != "," }) }
    let y = line.split(separator: " ").compactMap { Double($0.drop { $0 != "," }.dropFirst()) }
    #expect(x.count == 3 && y.count == 3)
    #expect(abs((x[1] - x[0]) - (x[2] - x[1])) < 0.02)
    #expect(y[0] > y[1] && y[1] > y[2])
    #expect(markup.texts.contains("original: 1 MB, 0.9000"))
    for label in ["10 kB", "100 kB", "1 MB", "0.60", "0.90", "test accuracy"] {
      #expect(markup.texts.contains(label), "\(label)")
    }
  }

  /// What keeps less than half of the accuracy is counted, not drawn.
  @Test func uselessPointsAreLeftOut() throws {
    let markup = try #require(
      Markup(chart([.init("a", [point(10_000, 0.44), point(20_000, 0.46), point(5000, .nan)])]).document))
    #expect(markup.texts.contains { $0.hasPrefix("2 points below 0.45 ") })
    #expect(markup.texts.contains("20000: 20 kB, 0.4600"))
    #expect(!markup.texts.contains { $0.hasPrefix("10000:") })
    let whole = try #require(Markup(chart([.init("a", [point(20_000, 0.46)])]).document))
    #expect(!whole.texts.contains { $0.contains("below") })
  }

  /// One style sheet colours everything, in two ways: no attribute of a shape says another colour.
  @Test func lightAndDark() throws {
    let markup = try #require(Markup(chart([.init("a", [point(10, 0.8)]), .init("b", [point(20, 0.7)])]).document))
    let style = try #require(markup.texts.first { $0.contains("prefers-color-scheme:dark") })
    let classes = Set(values(markup, "class").flatMap { $0.split(separator: " ").map(String.init) })
    for name in classes.subtracting(["line", "mark"]) {
      #expect(style.occurrences(of: ".\(name)") >= 2, "\(name)")
    }
    #expect(values(markup, "fill") == ["white"])
    #expect(values(markup, "stroke").isEmpty)
  }

  @Test func anyNumbersAndNames() throws {
    let numbers = [.nan, .infinity, -1, 0, 0.5, 1]
    let name = "</title><script>&\u{1}" + String(repeating: "long ", count: 200)
    let curves = (0..<9).map { curve in
      TradeoffChart.Curve(name, numbers.enumerated().map { point($0.offset * curve, $0.element) })
    }
    for original in [0, 1, .max] {
      for accuracy in numbers {
        let source = TradeoffChart(title: name, original: point(original, accuracy), curves: curves).document
        let markup = try #require(Markup(source))
        #expect(!markup.elements.contains("script"))
        for (name, value) in markup.attributes where ["d", "points", "x", "y", "cx", "cy", "height"].contains(name) {
          #expect(!value.contains("nan") && !value.contains("inf"), "\(name) \(value)")
        }
      }
    }
  }

  /// No line to compare with, and no point left out.
  @Test func withoutOriginal() throws {
    let curve = TradeoffChart.Curve("a", [point(10, 0.8), point(20, 0.01)])
    for curves in [[curve], []] {
      let markup = try #require(Markup(TradeoffChart(title: "t", original: nil, curves: curves).document))
      #expect(!markup.attributes.contains { $0.name == "class" && $0.value == "original" })
      #expect(!markup.texts.contains { $0.contains("not shown") })
    }
  }

  @Test func sameInputSameBytes() {
    let one = chart([.init("a", [point(10, 0.8)])])
    #expect(one.document == one.document)
    #expect(chart([]).document.hasSuffix("</svg>\n"))
  }
}

extension String {
  /// How often a text stands in it.
  fileprivate func occurrences(of text: String) -> Int { ranges(of: text).count }
}
