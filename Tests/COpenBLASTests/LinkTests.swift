import COpenBLAS
import Testing

/// The library that singular values and spectra will need is there and computes; no tool loads it yet.
@Test func openBLASComputes() {
  openblas_set_num_threads(1)
  #expect(cblas_ddot(3, [1, 2, 3], 1, [4, 5, 6], 1) == 32)
}
