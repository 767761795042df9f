#include "linux/ethtool.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include <warren/fd.h>

namespace warren::ethtool {

namespace {

/// ETHTOOL commands end in arrays of a length that only the kernel knows; this is one of them with
/// its array.
template <class Head, class Item>
class Command {
 public:
  Command(std::uint32_t command, std::size_t items)
      : words_((sizeof(Head) + items * sizeof(Item) + 7) / 8) {
    head()->cmd = command;
  }
  [[nodiscard]] Head* head() { return static_cast<Head*>(static_cast<void*>(words_.data())); }
  [[nodiscard]] Item* items() { return static_cast<Item*>(static_cast<void*>(head() + 1)); }

 private:
  std::vector<std::uint64_t> words_;
};

class Device {
 public:
  static Result<Device> open(std::string_view name) {
    if (name.empty() || name.size() >= IFNAMSIZ)
      return fail(fmt::format("\"{}\" is not a network device's name", name), EINVAL);
    Fd fd{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!fd) return fail_errno("open a socket");
    return Device{std::move(fd), name};
  }

  Result<int> call(void* command) {
    ifreq request{};
    name_.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = command;
    const int result = ::ioctl(fd_.get(), SIOCETHTOOL, &request);
    if (result < 0)
      return fail_errno(fmt::format("ask the driver of {} about its features", name_));
    return result;
  }

  /// The driver's names, in the order of the feature bits.
  Result<std::vector<std::string>> names() {
    Command<ethtool_sset_info, std::uint32_t> count(ETHTOOL_GSSET_INFO, 1);
    count.head()->sset_mask = 1ULL << ETH_SS_FEATURES;
    if (auto done = call(count.head()); !done) return tl::unexpected(done.error());
    const std::size_t total = count.items()[0];

    using Name = std::array<char, ETH_GSTRING_LEN>;
    Command<ethtool_gstrings, Name> strings(ETHTOOL_GSTRINGS, total);
    strings.head()->string_set = ETH_SS_FEATURES;
    strings.head()->len = static_cast<std::uint32_t>(total);
    if (auto done = call(strings.head()); !done) return tl::unexpected(done.error());
    std::vector<std::string> names;
    for (std::size_t i = 0; i < total; ++i)
      names.emplace_back(strings.items()[i].data(),
                         ::strnlen(strings.items()[i].data(), ETH_GSTRING_LEN));
    return names;
  }

 private:
  Device(Fd fd, std::string_view name) : fd_(std::move(fd)), name_(name) {}

  Fd fd_;
  std::string name_;
};

bool belongs_to(const std::string& name, Feature feature) {
  switch (feature) {
    case Feature::tx_checksum:
      return name.starts_with("tx-checksum-") && name != "tx-checksum-fcoe-crc";
    case Feature::tso:
      return name.starts_with("tx-tcp") && name.ends_with("-segmentation");
    case Feature::gso:
      return name == "tx-generic-segmentation";
    case Feature::gro:
      return name == "rx-gro";
    case Feature::tx_udp_segmentation:
      return name == "tx-udp-segmentation";
    case Feature::tx_tunnel_segmentation:
      return name.starts_with("tx-udp_tnl-");
  }
  return false;
}

/// Which of the device's feature bits are on, and which may be changed.
Result<std::vector<ethtool_get_features_block>> read_blocks(Device& device, std::size_t count) {
  const std::size_t blocks = (count + 31) / 32;
  Command<ethtool_gfeatures, ethtool_get_features_block> get(ETHTOOL_GFEATURES, blocks);
  get.head()->size = static_cast<std::uint32_t>(blocks);
  if (auto done = device.call(get.head()); !done) return tl::unexpected(done.error());
  return std::vector(get.items(), get.items() + blocks);
}

bool bit(std::uint32_t word, std::size_t index) { return ((word >> (index % 32)) & 1U) != 0; }

}  // namespace

Result<std::map<std::string, bool>> features(std::string_view name) {
  auto device = Device::open(name);
  if (!device) return tl::unexpected(device.error());
  const auto names = device->names();
  if (!names) return tl::unexpected(names.error());
  const auto blocks = read_blocks(*device, names->size());
  if (!blocks) return tl::unexpected(blocks.error());
  std::map<std::string, bool> result;
  for (std::size_t i = 0; i < names->size(); ++i)
    if (!(*names)[i].empty()) result[(*names)[i]] = bit((*blocks)[i / 32].active, i);
  return result;
}

Result<> set(std::string_view name, Feature feature, bool on) {
  auto device = Device::open(name);
  if (!device) return tl::unexpected(device.error());
  const auto names = device->names();
  if (!names) return tl::unexpected(names.error());
  const auto before = read_blocks(*device, names->size());
  if (!before) return tl::unexpected(before.error());

  Command<ethtool_sfeatures, ethtool_set_features_block> change(ETHTOOL_SFEATURES, before->size());
  change.head()->size = static_cast<std::uint32_t>(before->size());
  for (std::size_t i = 0; i < names->size(); ++i) {
    const auto& block = (*before)[i / 32];
    if (!belongs_to((*names)[i], feature) || !bit(block.available, i) ||
        bit(block.never_changed, i))
      continue;
    change.items()[i / 32].valid |= 1U << (i % 32);
    if (on) change.items()[i / 32].requested |= 1U << (i % 32);
  }
  if (auto done = device->call(change.head()); !done) return tl::unexpected(done.error());

  const auto after = read_blocks(*device, names->size());
  if (!after) return tl::unexpected(after.error());
  std::vector<std::string> refused;
  bool any = false;
  for (std::size_t i = 0; i < names->size(); ++i) {
    if (!belongs_to((*names)[i], feature)) continue;
    any = any || bit((*after)[i / 32].active, i) == on;
    if (bit(change.items()[i / 32].valid, i) && bit((*after)[i / 32].active, i) != on)
      refused.push_back((*names)[i]);
  }
  if (!refused.empty() || !any)
    return fail(fmt::format("switch {} {} on {}: the driver keeps it {}", fmt::join(refused, ", "),
                            on ? "on" : "off", name, on ? "off" : "on"),
                EOPNOTSUPP);
  return {};
}

Result<Driver> driver(std::string_view name) {
  auto device = Device::open(name);
  if (!device) return tl::unexpected(device.error());
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (const auto done = device->call(&info); !done) {
    if (done.error().code == EOPNOTSUPP) return Driver{};
    return tl::unexpected(done.error());
  }
  const auto text = [](const auto& field) {
    return std::string(field, ::strnlen(field, sizeof field));
  };
  return Driver{text(info.driver), text(info.bus_info)};
}

}  // namespace warren::ethtool
