// SPDX-License-Identifier: Apache-2.0

import JSON
import SystemPackage
import TestSupport
import Testing

/// What people meet every day: options as they are typed, help, messages about what went wrong, many files at once.
@Suite("Usage")
struct UsageTests {
  private let folder: TemporaryFolder
  private static let tools = ["nc-ternarize", "nc-prune", "nc-restore", "nc-verify", "nc-run", "nc-info"]

  private static let start = Preparation(
    ["net.h5": "networks/digits_relu.h5", "net.keras": "networks/digits_relu.keras"], "nc-ternarize -q net.h5 net.ncz")

  init() throws { folder = try Self.start.folder() }

  // MARK: Options

  /// Short options are joined as in every other tool, and give the same bytes.
  @Test(arguments: [
    "nc-ternarize -T0 net.h5 o", "nc-ternarize -T2 net.h5 -oo", "nc-ternarize -fq net.h5 o",
    "nc-ternarize -fqo o net.h5",
    "nc-ternarize -qfT 2 net.h5 o", "nc-ternarize -qT2 -foo net.h5", "nc-ternarize --threads=1 net.h5 o",
  ])
  func shortOptionsAreJoined(line: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == 0, "\(run.diagnostics)")
    #expect(try contents(of: folder / "o") == contents(of: folder / "net.ncz"))
  }

  /// One line for one problem, with the tool's name in front, and what was meant where that is plain.
  @Test(arguments: [
    ("nc-prune --keeps .1 net.h5 o", "nc-prune: unknown option '--keeps'. Did you mean '--keep'?"),
    (
      "nc-verify --max-wieght 1 net.h5 net.ncz",
      "nc-verify: unknown option '--max-wieght'. Did you mean '--max-weight'?"
    ),
    ("nc-run --dat x net.h5", "nc-run: unknown option '--dat'. Did you mean '--data'?"),
    ("nc-prune --keep 10 net.h5 o", "nc-prune: --keep: 10 is not in 0…1; for 10 percent write .1"),
    ("nc-prune --keep 5% net.h5 o", "nc-prune: --keep: 5% is not in 0…1; for 5 percent write .05"),
    ("nc-prune --keep 100 net.h5 o", "nc-prune: --keep: 100 is not in 0…1; for 100 percent write 1"),
    ("nc-prune --keep 1000 net.h5 o", "nc-prune: --keep: expected a fraction from 0 to 1, such as .1, found '1000'"),
    ("nc-ternarize --sparsity 90 net.h5 o", "nc-ternarize: --sparsity: 90 is not in 0…1; for 90 percent write .9"),
    (
      "nc-ternarize --scale-per 0 net.h5 o",
      "nc-ternarize: --scale-per: expected tensor, row or a number above 0, found '0'"
    ),
    ("nc-info --memory lots net.h5", "nc-info: --memory: expected a size such as 500k, 16MB or 4GiB, found 'lots'"),
    ("nc-info --time 0 net.h5", "nc-info: --time: expected seconds above 0, such as 60, found '0'"),
    (
      "nc-verify --max-weight much net.h5 net.ncz",
      "nc-verify: --max-weight: expected a number such as .05 or 1e-3, found 'much'"
    ),
    ("nc-info --stats --plot net.png net.h5", "nc-info: --plot net.png: writes SVG, not PNG; name it .svg"),
    ("nc-verify --report net.PDF a.h5 b.h5", "nc-verify: --report net.PDF: writes HTML, not PDF; name it .html"),
    ("nc-prune --json --keep .1 net.h5 > o", "nc-prune: --json and the output would both go to standard output"),
    ("nc-verify", "nc-verify: missing expected argument '<a>'"),
    ("nc-info -- - -", "nc-info: standard input (-) can be read once"),
  ])
  func aUsageErrorIsOneLine(line: String, message: String) throws {
    let run = try shell(line, in: folder)
    #expect(run.status == 64 && run.output.isEmpty)
    #expect(
      run.diagnostics.hasPrefix(message) && run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)")
  }

  @Test func anArgumentDoesNotBreakTheLine() throws {
    for line in ["nc-info \"$(printf -- '--no\\nsuch')\"", "nc-prune --keep \"$(printf 'a\\n\\033b')\" net.h5"] {
      let run = try shell(line, in: folder)
      #expect(run.status == 64 && run.diagnostics.split(separator: "\n").count == 1, "\(run.diagnostics)")
      #expect(!run.diagnostics.contains("\u{1B}"))
    }
  }

  /// In 80 columns, with every exit status.
  @Test(arguments: tools)
  func helpFitsATerminalAndHasTheExitStatuses(tool: String) throws {
    let help = String(decoding: try shell("\(tool) --help", in: folder).output, as: UTF8.self)
    #expect(help.split(separator: "\n").allSatisfy { $0.count <= 80 })
    let words = help.split { " \n;".contains($0) }
    for status in [0, 64, 65, 66, 69, 70, 73, 74, 75] { #expect(words.contains("\(status)"), "\(status)") }
    #expect(words.contains("status:"))
  }

  /// Names are shortened where a terminal is too narrow for them, and never in a pipe.
  @Test func tablesFitATerminal() throws {
    let piped = String(decoding: try shell("nc-info net.h5", in: folder).output, as: UTF8.self)
    #expect(piped.contains("optimizer/adam/digits_relu_fc1_kernel_momentum "))
    let run = try shell("script -qec 'stty cols 100; nc-info net.h5' /dev/null", in: folder)
    let shown = String(decoding: run.output, as: UTF8.self)
    #expect(shown.contains("…") && !shown.contains("optimizer/adam/digits_relu_fc1_kernel_momentum"))
    #expect(shown.split { $0.isNewline }.allSatisfy { $0.count <= 100 })
  }

  // MARK: Many files

  @Test func manyFilesAreListedOneAfterAnother() throws {
    let run = try shell("nc-info net.h5 missing net.ncz", in: folder)
    #expect(run.status == 66 && run.diagnostics == "nc-info: missing: No such file or directory\n")
    let headings = String(decoding: run.output, as: UTF8.self).split(separator: "\n").filter { $0.contains(" bytes, ") }
    #expect(headings.count == 2 && headings[0].hasPrefix("net.h5: ") && headings[1].hasPrefix("net.ncz: "))
  }

  /// The first failure decides; the files after it are tested as well.
  @Test func manyFilesAreTested() throws {
    let run = try shell("head -c 9000 net.ncz > cut; nc-info --test net.ncz cut missing net.h5", in: folder)
    #expect(run.status == 65)
    #expect(String(decoding: run.output, as: UTF8.self) == "net.ncz: sound\nnet.h5: sound\n")
    let lines = run.diagnostics.split(separator: "\n")
    #expect(lines.count == 2 && lines[0].hasPrefix("nc-info: cut: ") && lines[1].hasPrefix("nc-info: missing: "))
  }

  @Test func manyFilesAreAnArray() throws {
    let run = try shell("nc-info --json net.h5 - < net.ncz", in: folder)
    let files = try #require(try JSONValue.parse(run.output).array)
    #expect(files.map { $0["file"]?.string } == ["net.h5", "standard input"])
    #expect(files.map { $0["kind"]?.string } == ["HDF5", ".ncz"])
  }

  // MARK: JSON of the tools that write

  @Test(arguments: ["nc-prune --keep .25 --json net.h5 o", "nc-prune --keep .25 --json -n net.h5"])
  func whatWasWrittenIsOneObject(line: String) throws {
    let run = try shell("\(line) -q", in: folder)
    #expect(run.status == 0 && run.diagnostics.isEmpty)
    let json = try JSONValue.parse(run.output)
    #expect(json["input"]?.string == "net.h5" && json["input_bytes"]?.integer == 111_920)
    #expect(json["output"]?.string == (line.contains("-n") ? nil : "o"))
    if !line.contains("-n") { #expect(json["output_bytes"]?.integer == (try contents(of: folder / "o").count)) }
    let tensors = try #require(json["tensors"]?.array)
    let kernel = try #require(tensors.first { $0["name"]?.string == "fc1/kernel" })
    #expect(kernel["outcome"]?.string == "changed" && kernel["encoding"]?.string == "sparse")
    #expect(kernel["kept"]?["count"]?.integer == 1024 && kernel["kept"]?["of"]?.integer == 4096)
    #expect(kernel["shape"]?.array?.compactMap(\.integer) == [64, 64])
    let error = try #require(kernel["relative_l2"]?.double)
    #expect(error > 0 && error < 1)
    #expect(tensors.first { $0["name"]?.string == "fc1/bias" }?["outcome"]?.string == "carried")
  }

  @Test func whatWasRestoredIsOneObject() throws {
    let run = try shell("nc-restore -q --json net.ncz o", in: folder)
    let json = try JSONValue.parse(run.output)
    #expect(json["output_bytes"]?.integer == 111_920)
    let kernel = json["tensors"]?.array?.first { $0["name"]?.string == "fc1/kernel" }
    #expect(kernel?["outcome"]?.string == "changed" && kernel?["history"]?.array?.count == 1)
  }

  @Test func theReasonWhyATensorWasLeftIsInTheObject() throws {
    let lstm = Fixtures.folder.appending("networks").appending("layouts")
    let names = names(in: lstm).filter { $0.hasSuffix(".h5") }
    #expect(!names.isEmpty)
    let reasons = try names.flatMap { name -> [String] in
      let run = try shell("nc-ternarize -n -q --json '\(lstm.appending(name))'", in: folder)
      guard run.status == 0 else { return [] }
      return try JSONValue.parse(run.output)["tensors"]?.array?.compactMap { $0["reason"]?.string } ?? []
    }
    #expect(!reasons.isEmpty)
  }

  // MARK: Names and lists

  /// `vars/2` comes before `vars/10`, and what was dropped is one line.
  @Test func listsAreInNaturalOrder() throws {
    let listing = String(decoding: try shell("nc-info net.keras", in: folder).output, as: UTF8.self)
    let variables = listing.split(separator: "\n").filter { $0.hasPrefix("optimizer/vars/") }
      .compactMap { $0.dropFirst(15).split(separator: " ").first.flatMap { Int($0) } }
    #expect(variables == Array(0..<14))
    let run = try shell(
      "nc-ternarize -n --drop optimizer net.keras; nc-ternarize -q --drop optimizer net.keras o; nc-info o", in: folder)
    let lines = String(decoding: run.output, as: UTF8.self).split(separator: "\n")
    #expect(lines.count { $0.hasPrefix("(12 dropped)") } == 2)
    #expect(!lines.contains { $0.contains("optimizer/vars/2") || $0.hasSuffix("1.00") })
  }

  // MARK: Advice

  /// Where the source file's remains are much of the output, leaving them out pays, and is not advised once they are.
  @Test func leavingOutTheContainerIsAdvisedWhereItPays() throws {
    let plain = try shell("nc-ternarize --drop optimizer net.h5 o", in: folder)
    #expect(plain.diagnostics.contains("--container none"), "\(plain.diagnostics)")
    let smaller = try shell("nc-ternarize --drop optimizer --container none net.h5 p", in: folder)
    #expect(smaller.status == 0 && !smaller.diagnostics.contains("--container"))
    #expect(try contents(of: folder / "p").count * 10 < contents(of: folder / "o").count * 9)
    #expect(!(try shell("nc-ternarize --except '*' net.h5 q", in: folder)).diagnostics.contains("--container"))
  }

  /// None of a network's outputs can be dropped: the last layer has no curve for units, the others have.
  @Test func theLastLayerHasNoUnitsToDrop() throws {
    let json = try JSONValue.parse(try shell("nc-info --stats --json net.h5", in: folder).output)
    let layers = try #require(json["layers"]?.array)
    #expect(layers.map { $0["node_errors"]?.array?.count } == [5, 5, nil])
    #expect(layers.allSatisfy { $0["magnitude_errors"]?.array?.count == 5 })
    let all = try #require(json["all"]?["node_errors"]?.array?.first?.double)
    let each = layers.compactMap { $0["node_errors"]?.array?.first?.double }
    #expect(all >= each.min() ?? 1 && all <= each.max() ?? 0)
  }

  /// A network of weights alone: what was assumed is said once.
  @Test(arguments: [
    "nc-ternarize w.h5 o", "nc-prune --by node --keep .5 w.h5 o", "nc-info w.h5", "nc-verify w.h5 w.h5",
  ])
  func anAssumptionIsSaidOnce(line: String) throws {
    let weights = Fixtures.folder.appending("networks").appending("torch_digits.flat.h5")
    let run = try shell("cp '\(weights)' w.h5; \(line)", in: folder)
    let text = run.diagnostics + String(decoding: run.output, as: UTF8.self)
    #expect(run.status == 0 && text.split(separator: "\n").count { $0.contains("assum") } == 1, "\(text)")
  }

  // MARK: Files of other formats

  @Test(arguments: [
    ("printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:00\\nsize 1\\n'", "Git LFS pointer"),
    ("printf '\\n <!doctype HTML><p>404'", "HTML"), ("gzip -c net.h5", "gunzip"), ("tar cf - net.ncz", "tar"),
    ("printf 'GGUF\\003\\000\\000\\000'", "GGUF"), ("printf '\\200\\004\\225.'", "pickle"),
    ("printf 'MATLAB 5.0 MAT-file, Platform'", "MATLAB"), ("printf '\\223NUMPY\\001\\000'", "NumPy"),
    ("printf '\\002\\000\\000\\000\\000\\000\\000\\000{}'", "safetensors"),
  ])
  func anotherFormatIsCalledByItsName(command: String, name: String) throws {
    let run = try shell("\(command) > other; nc-info other; nc-ternarize other o", in: folder)
    #expect(run.status == 65)
    let lines = run.diagnostics.split(separator: "\n")
    #expect(lines.count == 2 && lines.allSatisfy { $0.contains(name) }, "\(run.diagnostics)")
  }

  /// A file that its writer never closed: said, and what is restored is the same file.
  @Test func aFileThatWasNeverClosedIsSaid() throws {
    let file = Fixtures.folder.appending("hostile").appending("never_closed.h5")
    let run = try shell("nc-ternarize --except '*' '\(file)' o && nc-restore -q o p && cmp p '\(file)'", in: folder)
    #expect(run.status == 0 && run.diagnostics.contains("did not close it"), "\(run.diagnostics)")
    #expect(!String(decoding: try shell("nc-info net.h5", in: folder).output, as: UTF8.self).contains("did not close"))
  }
}
