#include "wireguard/allowed_ips.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string_view>

namespace warren::wireguard {
namespace {

IpPrefix prefix(std::string_view text) { return IpPrefix::parse(text).value(); }
IpAddress address(std::string_view text) { return IpAddress::parse(text).value(); }

std::vector<std::string> listed(const AllowedIps& table, PeerId peer) {
  std::vector<std::string> out;
  for (const auto& entry : table.of(peer)) out.push_back(entry.to_string());
  return out;
}

TEST(AllowedIps, TheLongestPrefixDecides) {
  AllowedIps table;
  table.insert(prefix("0.0.0.0/0"), 1);
  table.insert(prefix("10.0.0.0/8"), 2);
  table.insert(prefix("10.1.0.0/16"), 3);
  table.insert(prefix("10.1.2.3/32"), 4);
  EXPECT_EQ(table.find(address("9.9.9.9")), 1);
  EXPECT_EQ(table.find(address("10.2.0.0")), 2);
  EXPECT_EQ(table.find(address("10.1.255.255")), 3);
  EXPECT_EQ(table.find(address("10.1.2.3")), 4);
  EXPECT_EQ(table.find(address("::")), no_peer) << "IPv4's default route is not IPv6's";
  table.insert(prefix("::/0"), 5);
  table.insert(prefix("2001:db8::/33"), 6);
  table.insert(prefix("2001:db8::1/128"), 7);
  EXPECT_EQ(table.find(address("::")), 5);
  EXPECT_EQ(table.find(address("2001:db8:8000::")), 5);
  EXPECT_EQ(table.find(address("2001:db8:7fff::")), 6);
  EXPECT_EQ(table.find(address("2001:db8::1")), 7);
}

TEST(AllowedIps, WhoGetsAPrefixLastTakesIt) {
  AllowedIps table;
  table.insert(prefix("10.0.0.77/24"), 1);
  EXPECT_EQ(listed(table, 1), std::vector<std::string>{"10.0.0.0/24"}) << "without host bits";
  table.insert(prefix("10.0.0.0/24"), 2);
  EXPECT_TRUE(table.of(1).empty());
  EXPECT_EQ(listed(table, 2), std::vector<std::string>{"10.0.0.0/24"});
  EXPECT_EQ(table.find(address("10.0.0.1")), 2);
  table.insert(prefix("10.0.0.0/24"), 2);
  EXPECT_EQ(table.of(2).size(), 1U) << "twice is once";
  EXPECT_EQ(table.size(), 1U);
}

TEST(AllowedIps, RemovesOnlyWhatIsThePeers) {
  AllowedIps table;
  table.insert(prefix("10.0.0.0/24"), 1);
  table.insert(prefix("10.0.0.0/25"), 2);
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/25"), 1));
  EXPECT_FALSE(table.remove(prefix("10.0.0.0/25"), 60000));
  EXPECT_EQ(table.find(address("10.0.0.1")), 2);
  EXPECT_TRUE(table.remove(prefix("10.0.0.0/25"), 2));
  EXPECT_EQ(table.find(address("10.0.0.1")), 1) << "the shorter prefix is back";
  table.remove_peer(1);
  table.remove_peer(60000);
  EXPECT_EQ(table.find(address("10.0.0.1")), no_peer);
  EXPECT_EQ(table.size(), 0U);
}

TEST(AllowedIps, HoldsTheHighestPeer) {
  AllowedIps table;
  table.insert(prefix("fd00::/8"), max_peers - 1);
  EXPECT_EQ(table.find(address("fd12::1")), max_peers - 1);
  EXPECT_EQ(table.of(max_peers - 1).size(), 1U);
}

// The slow, obvious table.
class Oracle {
 public:
  void insert(const IpPrefix& prefix, PeerId peer) {
    const auto network = masked(prefix);
    for (auto& entry : entries_)
      if (entry.prefix == network) {
        entry.peer = peer;
        return;
      }
    entries_.push_back({network, peer});
  }
  bool remove(const IpPrefix& prefix, PeerId peer) {
    const auto network = masked(prefix);
    return std::erase_if(entries_, [&](const Entry& entry) {
             return entry.prefix == network && entry.peer == peer;
           }) > 0;
  }
  void remove_peer(PeerId peer) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.peer == peer; });
  }
  [[nodiscard]] PeerId find(const IpAddress& address) const {
    PeerId found = no_peer;
    unsigned longest = 0;
    for (const auto& entry : entries_)
      if (covers(entry.prefix, address) && (found == no_peer || entry.prefix.length > longest)) {
        found = entry.peer;
        longest = entry.prefix.length;
      }
    return found;
  }
  [[nodiscard]] std::vector<std::string> of(PeerId peer) const {
    std::vector<std::string> out;
    for (const auto& entry : entries_)
      if (entry.peer == peer) out.push_back(entry.prefix.to_string());
    std::ranges::sort(out);
    return out;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    IpPrefix prefix;
    PeerId peer;
  };
  static bool bit(const IpAddress& address, unsigned index) {
    return (address.bytes[index / 8] >> (7 - index % 8) & 1) != 0;
  }
  static bool covers(const IpPrefix& prefix, const IpAddress& address) {
    if (prefix.address.ipv6 != address.ipv6) return false;
    for (unsigned i = 0; i < prefix.length; ++i)
      if (bit(prefix.address, i) != bit(address, i)) return false;
    return true;
  }
  static IpPrefix masked(IpPrefix prefix) {
    for (unsigned i = prefix.length; i < 128; ++i)
      prefix.address.bytes[i / 8] &= static_cast<std::uint8_t>(~(0x80U >> i % 8));
    return prefix;
  }
  std::vector<Entry> entries_;
};

using Random = std::mt19937_64;

// Few different values in each byte, so that prefixes overlap and repeat.
IpAddress random_address(Random& random) {
  IpAddress address;
  address.ipv6 = random() % 2 == 0;
  const std::size_t size = address.ipv6 ? 16 : 4;
  const std::uint8_t values[] = {0x00, 0x01, 0x80, 0xff};
  for (std::size_t i = 0; i < size; ++i)
    address.bytes[i] = values[random() % 4 * (random() % 3 == 0)];
  return address;
}

TEST(AllowedIps, AgreesWithASlowTable) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    Random random(seed);
    AllowedIps table;
    Oracle oracle;
    const auto random_prefix = [&] {
      const auto address = random_address(random);
      return IpPrefix{address, static_cast<unsigned>(random() % (address.bits() + 1))};
    };
    for (int step = 0; step < 1500; ++step) {
      const auto peer = static_cast<PeerId>(random() % 8);
      const auto what = random() % 100;
      const auto entry = random_prefix();
      if (what < 60) {
        table.insert(entry, peer);
        oracle.insert(entry, peer);
      } else if (what < 98) {
        ASSERT_EQ(table.remove(entry, peer), oracle.remove(entry, peer));
      } else {
        table.remove_peer(peer);
        oracle.remove_peer(peer);
      }
      ASSERT_EQ(table.size(), oracle.size());
      for (int i = 0; i < 8; ++i) {
        const auto address = random_address(random);
        ASSERT_EQ(table.find(address), oracle.find(address))
            << address.to_string() << " seed " << seed << " step " << step;
      }
      if (step % 100 != 0) continue;
      for (PeerId id = 0; id < 8; ++id) {
        auto entries = listed(table, id);
        std::ranges::sort(entries);
        ASSERT_EQ(entries, oracle.of(id));
      }
    }
  }
}

// Thousands of prefixes in one table: chains, growth, and removal out of the middle of chains.
TEST(AllowedIps, AgreesWithASlowTableWhereItIsFull) {
  Random random(7);
  AllowedIps table;
  Oracle oracle;
  for (unsigned i = 0; i < 3000; ++i) {
    IpAddress address;
    address.bytes = {10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    const IpPrefix entry{address, 24 + static_cast<unsigned>(random() % 9)};
    table.insert(entry, static_cast<PeerId>(i % 50));
    oracle.insert(entry, static_cast<PeerId>(i % 50));
  }
  for (PeerId peer = 0; peer < 50; peer += 3) {
    table.remove_peer(peer);
    oracle.remove_peer(peer);
  }
  ASSERT_EQ(table.size(), oracle.size());
  for (unsigned i = 0; i < 3100; ++i) {
    IpAddress address;
    address.bytes = {10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    ASSERT_EQ(table.find(address), oracle.find(address)) << address.to_string();
  }
}

}  // namespace
}  // namespace warren::wireguard
