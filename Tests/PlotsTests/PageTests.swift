// SPDX-License-Identifier: Apache-2.0

import Plots
import Testing

@Suite struct PageTests {
  private static let hostile = [
    "</title><script>alert(\"1\")</script>&amp;'\u{1}\n\u{202E}", String(repeating: "long/", count: 4000),
    "طبقة/לֶמֶד", "e" + String(repeating: "\u{301}", count: 5000), "\u{FDFD}\u{1F469}\u{200D}\u{1F469}", "",
  ]

  /// Every kind of element, with the text wherever text can be and the numbers in every chart.
  private func page(_ text: String, _ numbers: [Double]) -> Page {
    var page = Page(title: text)
    page.add(heading: text)
    page.add(paragraph: text)
    for kind in [Page.Verdict.good, .bad, .neutral] { page.add(verdict: text, kind) }
    var table = Page.Table([(text, .left), ("n", .right)])
    table.add([text, text], meaning: text, isMarked: true)
    table.add([])
    table.add([text, text, text])
    page.add(table)
    var facts = Page.Table([("", .left), ("", .left)])
    facts.add([text, text])
    page.add(facts)
    page.add(table, beside: Page.Figure(text, pictures(text, numbers)[0]))
    page.add(folded: text) { $0.add(paragraph: text) }
    page.add([])
    page.add(pictures(text, numbers).map { Page.Figure(text, $0, caption: text) })
    return page
  }

  private func pictures(_ text: String, _ numbers: [Double]) -> [Picture] {
    let backwards = Array(numbers.reversed())
    let (least, greatest) = (numbers.first ?? 0, numbers.last ?? 0)
    let series = [Series(text, numbers), Series(text, backwards)]
    return [
      SpectrumChart(
        series[0], series[1], vectors: [.init(text, first: numbers, second: backwards)],
        boundaries: [0, 1, -5, .max]
      ).picture,
      DecayChart(series + series + series, xName: text, yName: text).picture,
      HistogramChart(
        series[0], over: least <= greatest ? least...greatest : 0...1, overlay: series[1],
        values: (text, numbers.map { .init($0, count: $0) }), marks: numbers.prefix(20).map { .init($0, text) },
        xName: text
      ).picture,
      BarChart(numbers.map { .init(text, $0) }, limit: numbers.first, limitName: text).picture,
    ]
  }

  private static let numbers: [[Double]] = [
    [], [0], [1], [.nan], [.infinity, -.infinity], [-1, -2], [0, 0, 0], [1, 1, 1], [1, .nan, 2, -.infinity, 3],
    [-.greatestFiniteMagnitude, .greatestFiniteMagnitude], [-1e300, 1e300], [1e-300, 1e300],
    [.leastNonzeroMagnitude, 0, -.leastNonzeroMagnitude], [1, 1 + 1e-15], [1e20, 2e20], [1e-30, 3e-30],
    [0.1, 3, 1000, 1e5], (1...2000).map { Double($0 * $0 % 997) },
  ]

  @Test(arguments: hostile.indices) func textStaysText(_ index: Int) throws {
    let source = page(Self.hostile[index], [1, 2, 3, 50, .nan]).text
    let markup = try #require(Markup(source))
    let known: Set = [
      "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "div", "strong", "table",
      "thead", "tbody", "tr", "th", "td", "wbr", "figure", "figcaption", "svg", "path", "line", "rect", "circle",
      "text", "details", "summary", "small",
    ]
    #expect(Set(markup.elements).isSubset(of: known))
    #expect(!source.contains("<script"))
    #expect(!markup.attributes.contains { $0.name.hasPrefix("on") || $0.name == "href" || $0.name == "src" })
    #expect(!source.unicodeScalars.contains { $0 == "\u{1}" || $0 == "\u{202E}" })
    #expect(source.utf8.count < 300_000)
  }

  @Test func paragraphsStayWhole() {
    let text = String(repeating: "All that was measured. ", count: 100)
    var page = Page(title: "net")
    page.add(paragraph: text)
    #expect(page.text.contains("<p>\(text)</p>"))
  }

  /// Nothing that a browser would ask for: no addresses, and a policy that forbids them.
  @Test func needsNothingElse() {
    let source = page("net", [1, 2, 3, 50]).text
    for word in ["http:", "https:", "url(", "@import", "src=", "href=", "<script", "<link"] {
      #expect(!source.contains(word), "\(word)")
    }
    #expect(source.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""))
  }

  /// Neither traps nor writes what is no number.
  @Test(arguments: numbers) func anyNumbers(_ numbers: [Double]) throws {
    let markup = try #require(Markup(page("net", numbers).text))
    let places: Set = ["d", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "cx", "cy", "viewBox", "transform"]
    for (name, value) in markup.attributes where places.contains(name) {
      #expect(!value.contains("nan") && !value.contains("inf"), "\(name) \(value)")
    }
  }

  @Test func nothingToShow() {
    for picture in pictures("net", []) { #expect(picture.svg.contains(">nothing to show</text>")) }
  }

  @Test func sameInputSameBytes() {
    let numbers = (1...500).map { 1 / Double($0) }
    #expect(page("net", numbers).text == page("net", numbers).text)
  }

  /// Curves have no more points than pixels can show.
  @Test func manySamplesAreAPageOfBoundedSize() {
    let noise = (0..<20_000).map { Double($0 * 7919 % 1009) / 1009 - 0.5 }
    let vectors = (1...3).map { SpectrumChart.Vectors("\($0)", first: noise, second: noise) }
    let eigenvalues = Series("A", (1...20_000).map { 1 / Double($0) })
    let spectrum = SpectrumChart(eigenvalues, eigenvalues, vectors: vectors).picture
    #expect(spectrum.svg.utf8.count < 100_000)
    #expect(DecayChart([eigenvalues]).picture.svg.utf8.count < 20_000)
    #expect(HistogramChart(Series("A", noise.map(abs)), over: -1...1).picture.svg.utf8.count < 20_000)
    #expect(BarChart(noise.map { .init("layer", abs($0)) }).picture.svg.utf8.count < 40_000)
  }

  /// A bulk becomes bars, what lies apart becomes dots, and what a logarithmic axis cannot show is counted.
  @Test func spectrumShowsOutliers() throws {
    let bulk = (0..<200).map { 1 + Double($0) / 100 }
    let picture = SpectrumChart(
      Series("A", bulk + [100, 400, 1e-13, .nan]), Series("B", bulk + [90, 0, 0])
    ).picture
    let markup = try #require(Markup(picture.svg))
    #expect(markup.elements.count { $0 == "circle" } == 3)
    #expect(markup.texts.contains("eigenvalue, logarithmic"))
    #expect(
      picture.notes == [
        "1 eigenvalue (A) is not finite and left out.",
        "1 eigenvalue (A) and 2 (B) are less than 10⁻¹⁰ of the largest and left out.",
        "Dots are single eigenvalues far from the others; their height means nothing.",
      ])
    let signed = SpectrumChart(Series("A", bulk + [-1]), Series("B", bulk)).picture
    #expect(signed.svg.contains(">eigenvalue</text>"))
  }

  /// A curve is drawn where its numbers are positive: two strokes and a dot.
  @Test func decayBreaksWhereNothingIsPositive() throws {
    let picture = DecayChart([Series("A", [8, 4, 0, 2, -1e-9, 1, 0.5])]).picture
    let markup = try #require(Markup(picture.svg))
    let curve = try #require(markup.attributes.last { $0.name == "d" })
    #expect(curve.value.count { $0 == "M" } == 3)
    #expect(curve.value.contains("h0"))
    #expect(picture.notes == ["2 values (A) are less than 10⁻¹⁰ of the largest and left out."])
  }

  @Test func barsBeyondTheLimitAreSetOff() throws {
    let bars = BarChart([.init("a", 0.25), .init("b", 0.5), .init("c", .nan)], limit: 0.25).picture
    let markup = try #require(Markup(bars.svg))
    // The axis reaches from 0 to 1.
    let ticks = ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    let rows = ["tolerance 0.25", "c", "not finite", "b", "0.5", "a", "0.25"]
    #expect(markup.texts.filter { $0 != "\n" } == rows + ticks)
    #expect(markup.attributes.count { $0 == ("font-weight", "bold") } == 2)
    let own = BarChart([.init("a", 0.25, limit: 0.2), .init("b", 0.5, limit: 0.6)], limitName: "limit").picture
    let ownMarkup = try #require(Markup(own.svg))
    #expect(ownMarkup.texts.contains("limit"))
    #expect(ownMarkup.attributes.count { $0 == ("font-weight", "bold") } == 1)
    let many = BarChart((0..<100).map { .init("layer \($0)", Double($0)) }).picture
    #expect(many.notes == ["The 20 largest of 100."])
    #expect(many.svg.contains(">layer 80</text>") && !many.svg.contains(">layer 79</text>"))
  }

  /// Shares of the values, and a bar that would hide all others is cut.
  @Test func histogramTellsShares() throws {
    let picture = HistogramChart(
      Series("A", [1, 2, 3, 1000, 3, 2, 1]), over: -1...1,
      values: ("B", [.init(-0.5, count: 1), .init(0, count: 2), .init(0.5, count: 1)]), marks: [.init(0.25, "t")]
    ).picture
    let texts = try #require(Markup(picture.svg)).texts
    for text in ["\u{2212}0.5: 25 %", "0: 50 %", "0.5: 25 %", "t"] { #expect(texts.contains(text), "\(text)") }
    #expect(picture.notes.first == "The highest bars are cut off: the greatest count is 1000.")
  }

  /// Names of layers differ at the end; the whole name shows when a pointer rests on it.
  @Test func longNamesKeepBothEnds() throws {
    let name = "model/" + String(repeating: "block/", count: 40) + "kernel"
    let texts = try #require(Markup(BarChart([.init(name, 1)]).picture.svg)).texts
    let short = try #require(texts.first { $0.contains("…") })
    #expect(short.hasPrefix("model/") && short.hasSuffix("/kernel") && short.count < 70)
    #expect(texts.contains(name))
  }
}
