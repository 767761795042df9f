/// For fuzzers: what must hold, and an input that is taken apart.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <warren/offload_header.h>

namespace warren {

/// Ends the fuzzer where it does not.
inline void require(bool condition) {
  if (!condition) std::abort();
}

/// The fuzzer's input, byte by byte; zeros behind its end.
struct FuzzInput {
  const std::uint8_t* data;
  std::size_t size;

  std::uint8_t byte() {
    if (size == 0) return 0;
    --size;
    return *data++;
  }
  std::size_t number() { return byte() | std::size_t{byte()} << 8; }
  /// As many, or what is left.
  std::vector<std::byte> bytes(std::size_t count) {
    std::vector<std::byte> out(std::min(count, size));
    for (auto& b : out) b = std::byte{byte()};
    return out;
  }
  OffloadHeader offload() {
    OffloadHeader out;
    out.flags = byte();
    out.gso_type = byte();
    out.gso_size = static_cast<std::uint16_t>(number());
    out.checksum_start = byte();
    out.checksum_offset = byte();
    return out;
  }
};

}  // namespace warren
