/// The map `devices` of icmp_abi.h: a hash table in an array, so that the kernel programs read it
/// without a call. As BpfMap to those who use it.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

#include "carrier/bpf/icmp_abi.h"
#include "carrier/bpf_map.h"

namespace warren::carrier {

class DeviceTable {
 public:
  DeviceTable() = default;
  explicit DeviceTable(Fd fd) : slots_(std::move(fd)) {}

  [[nodiscard]] int fd() const { return slots_.fd(); }
  [[nodiscard]] std::optional<icmp_device> find(std::uint32_t ifindex) const;
  /// `device.ifindex` need not be set. The programs see a new device as a whole or not at all, and
  /// of one that changes each field by itself.
  Result<> put(std::uint32_t ifindex, icmp_device device);
  /// No error where the device is not there.
  Result<> erase(std::uint32_t ifindex);
  /// With their indexes.
  [[nodiscard]] Result<std::vector<std::pair<std::uint32_t, icmp_device>>> all() const;
  [[nodiscard]] bool empty() const;

 private:
  /// The slot that the device has; where it has none, a free one if there is.
  [[nodiscard]] std::optional<std::uint32_t> slot_of(std::uint32_t ifindex) const;

  BpfMap<std::uint32_t, icmp_device> slots_;
};

}  // namespace warren::carrier
