// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage

/// What a file is that is no network file, as far as its first bytes tell, and what to do with it.
struct ForeignFormat {
  private let offset: Int
  private let signature: [UInt8]
  /// `a NumPy file (.npy)`, and what to do.
  let advice: String

  private init(_ signature: String, at offset: Int = 0, _ advice: String) {
    self.init(bytes: Array(signature.utf8), at: offset, advice)
  }

  private init(bytes signature: [UInt8], at offset: Int = 0, _ advice: String) {
    self.offset = offset
    self.signature = signature
    self.advice = advice
  }

  /// Formats that people take for networks, with what each begins with.
  private static let all = [
    ForeignFormat(
      "version https://git-lfs", "a Git LFS pointer, not the file itself; `git lfs pull` in its repository fetches that"
    ),
    ForeignFormat("<!DOCTYPE html", "a page of HTML, perhaps an error instead of a download; download the file again"),
    ForeignFormat("<html", "a page of HTML, perhaps an error instead of a download; download the file again"),
    ForeignFormat(bytes: [0x1F, 0x8B], "compressed with gzip; `gunzip` (or `tar xzf`) it first"),
    ForeignFormat(bytes: [0x28, 0xB5, 0x2F, 0xFD], "compressed with zstd; `unzstd` it first"),
    ForeignFormat(bytes: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "compressed with xz; `unxz` it first"),
    ForeignFormat("BZh", "compressed with bzip2; `bunzip2` it first"),
    ForeignFormat("ustar", at: 257, "a tar archive; unpack it first"),
    ForeignFormat("GGUF", "GGUF; convert its source to HDF5 instead"),
    ForeignFormat(
      "MATLAB 5.0 MAT-file",
      "a MATLAB file of version 5; h5py can write what scipy.io.loadmat reads, or save it in MATLAB with -v7.3"),
    ForeignFormat("MATLAB 7", "a MATLAB file that holds no HDF5 where it should; save it again with -v7.3"),
    ForeignFormat(bytes: [0x93] + Array("NUMPY".utf8), "a NumPy array (.npy); write it to HDF5 with h5py"),
    ForeignFormat("TFL3", at: 4, "TensorFlow Lite; export the Keras model as .keras or .h5 instead"),
    ForeignFormat("CDF", "classic NetCDF; `nccopy -k nc4` makes HDF5 of it"),
    // Pickle, protocols 2 to 5.
    ForeignFormat(bytes: [0x80, 0x02], pickle), ForeignFormat(bytes: [0x80, 0x03], pickle),
    ForeignFormat(bytes: [0x80, 0x04], pickle), ForeignFormat(bytes: [0x80, 0x05], pickle),
  ]
  private static let pickle =
    "a Python pickle, such as an old .pt file, which may run code when it is read; load it where you trust it, and "
    + "write its tensors to HDF5 with h5py"

  /// Says what a file without signature of ours is; `nil` where nothing tells.
  static func advice(on file: FileDescriptor, size: Int) throws(NetworkError) -> String? {
    let front = try read(file, at: 0, count: min(size, 512))
    // HTML may begin with blanks, in capitals or small letters.
    let text = front.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }.prefix(16)
      .map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }
    for format in all {
      if front.dropFirst(format.offset).starts(with: format.signature) { return format.advice }
      let isText = format.signature.first == UInt8(ascii: "<")
      if isText, text.starts(with: format.signature.map { (0x41...0x5A).contains($0) ? $0 + 32 : $0 }) {
        return format.advice
      }
    }
    // safetensors: the size of a JSON object, then the object.
    if front.count > 9, front[8] == UInt8(ascii: "{") {
      let length = front[..<8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if length <= UInt64(size) - 8 { return "safetensors; write its tensors to HDF5 with h5py" }
    }
    return nil
  }

  /// What a zip archive without Keras weights is, from the names of its members.
  static func advice(onArchiveOf names: [String]) -> String {
    if names.contains(where: { $0.hasSuffix("/data.pkl") || $0 == "data.pkl" }) {
      return
        "looks like PyTorch (.pt, .pth): load it with torch.load(…, weights_only=True) and write its tensors to HDF5"
    }
    if !names.isEmpty, names.allSatisfy({ $0.hasSuffix(".npy") }) {
      return "looks like NumPy .npz: write its arrays to HDF5 with h5py"
    }
    return "unzip it first if it holds a network"
  }
}
