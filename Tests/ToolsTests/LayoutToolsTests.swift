// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import TestSupport
import Testing

/// What tools say and do with files whose layers are not plain.
@Suite("Layouts, with the tools")
struct LayoutToolsTests {
  private let folder = try! TemporaryFolder()
  private let layouts = Fixtures.folder.appending("networks").appending("layouts")

  private func run(_ line: String) throws -> Outcome {
    let networks = Fixtures.folder.appending("networks")
    return try shell("L='\(layouts)'\nN='\(networks)'\n\(line)", in: folder)
  }

  /// Nothing is left in silence, and nothing is guessed.
  @Test(arguments: [
    ("nc-ternarize -n $L/square.h5", 0, "left as they are: W1, W2, W3 12.3 kB: perhaps the weights of a dense layer"),
    ("nc-ternarize -n --only W1 $L/square.h5", 69, "W1: its orientation is not known; say --orientation"),
    ("nc-ternarize -n --only W1 --orientation inputs-outputs $L/square.h5", 0, "1 tensor changed"),
    ("nc-ternarize -n --orientation outputs-inputs $L/square.h5", 0, "3 tensors changed"),
    ("nc-prune -n --keep .5 $L/unknown_names.h5", 0, "theta_hidden, theta_out 6.40 kB: not known to be the weights"),
    ("nc-prune -n --keep .5 --only 'theta_*' $L/unknown_names.h5", 0, "2 tensors changed"),
    ("nc-ternarize -n $L/embedding_names.h5", 0, "… (6) 154 kB: an embedding, not a dense layer"),
    ("nc-ternarize -n --only '*wte*' $L/embedding_names.h5", 64, "matches no weight matrix"),
    ("nc-ternarize -n $L/flax_lstm.h5", 0, "recurrent, not a dense layer"),
    ("nc-prune -n --by node --keep .5 $L/slash_names.h5", 0, "32 of 64"),
    ("nc-ternarize -n --orientation sideways $L/square.h5", 64, "'sideways'"),
  ]) func whatIsLeftIsSaid(_ line: String, _ status: Int32, _ said: String) throws {
    let outcome = try run(line)
    let text = String(decoding: outcome.output, as: UTF8.self) + outcome.diagnostics
    #expect(outcome.status == status && text.contains(said), "\(line): \(outcome.status): \(text)")
  }

  /// The architecture of another file: a network then is stated, also that of a `.ncz` marked as assumed.
  @Test func likeAnotherFile() throws {
    let stated = "64 → fc1 → relu → fc2 → relu → fc3 → softmax"
    let outcome = try run(
      """
      set -e
      nc-ternarize -q --like $N/digits_relu.keras $N/digits_relu.weights.h5 a.ncz
      nc-ternarize -q $N/digits_relu.weights.h5 b.ncz
      nc-info a.ncz
      nc-info --like $N/digits_relu.h5 b.ncz
      """)
    let text = String(decoding: outcome.output, as: UTF8.self)
    #expect(outcome.status == 0, "\(outcome.diagnostics)")
    #expect(text.split(separator: "\n").count { $0 == "network: \(stated)" } == 2, "\(text)")
    #expect(!text.contains("assuming"))
  }

  @Test(arguments: [
    ("nc-info --like $N/fashion_300_100.h5 $N/digits_relu.weights.h5", 65, "fc1 is 64 → 64"),
    ("nc-info --like $L/flax.h5 $L/chainer.h5", 69, "flax.h5: does not say how its layers are connected"),
    ("nc-info --like $N/digits_relu.h5 --order fc1 $N/digits_relu.weights.h5", 64, "--like states the whole network"),
    ("nc-info --like none.h5 $L/chainer.h5", 66, "none.h5"), ("nc-info --like - $L/chainer.h5", 64, "--like -"),
    ("nc-info --order l1,l9 $L/chainer.h5", 64, "no layer 'l9': there are l1, l2, l3"),
    ("nc-info --order theta_out $L/unknown_names.h5", 64, "orientation of theta_out is not known: say --orientation"),
  ]) func whatDoesNotFitIsRefused(_ line: String, _ status: Int32, _ said: String) throws {
    let outcome = try run(line)
    #expect(
      outcome.status == status && outcome.diagnostics.contains(said),
      "\(line): \(outcome.status): \(outcome.diagnostics)")
  }
}
