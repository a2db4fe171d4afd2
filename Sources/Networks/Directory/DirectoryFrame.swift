// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import NCZ

extension DirectoryCodec {
  /// A directory in a zstd frame, under the rules for the frames of blocks (`spec/ncz-v1.md` §2.3).
  static let zstd = DirectoryCodec {
    // Matches are what a directory is made of; a very large one takes long enough as it is.
    Zstd.frame(of: $0, level: $0.count <= 1 << 18 ? 19 : 3)
  } decompress: { (frame, count) throws(NCZError) in
    do throws(CodecError) {
      return try Zstd.bytes(of: frame, count: count)
    } catch {
      throw error.verdict == .corrupt ? .corrupt(offset: 0, "\(error)") : .overLimit("directory: \(error)")
    }
  }
}
