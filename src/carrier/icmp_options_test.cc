// The options of devices: what is asked for stays until something else is, and what nobody asked for is chosen
// at each attachment.
#include <fmt/format.h>

#include "carrier/carrier_testing.h"
#include "carrier/device_table.h"
#include "linux/ethtool.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using ::testing::HasSubstr;
using ::testing::Not;

constexpr IcmpDeviceOptions balance{.checksum = ChecksumMode::balance};

class IcmpOptionsTest : public IcmpCarrierTest {
 protected:
  void attach(const IcmpDeviceOptions& options = {}) {
    at(client_, [&] { ASSERT_OK(IcmpCarrier::open()->attach("c0", options)); });
  }
  IcmpDeviceState device() {
    const auto all = state(client_).devices;
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
  }
  void complete_checksums_in_the_device(bool on) {
    at(client_, [&] { ASSERT_OK(ethtool::set("c0", ethtool::Feature::tx_checksum, on)); });
  }
};

TEST_F(IcmpOptionsTest, StayWhereTheyAreNotGiven) {
  for (const auto tcx : {Tcx::use, Tcx::avoid}) {
    attach({.tcx = tcx});
    EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
    EXPECT_NE(device().ingress, "xdp");
    attach({.checksum = ChecksumMode::balance, .xdp = true, .tcx = tcx});
    attach({.tcx = tcx});
    EXPECT_EQ(device().checksum.mode, ChecksumMode::balance);
    EXPECT_EQ(device().ingress, "xdp");
    EXPECT_THAT(device().checksum.reason,
                HasSubstr("asked for; by itself it would be software: veth"));
    attach({.checksum = ChecksumMode::automatic, .tcx = tcx});
    EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
    EXPECT_EQ(device().ingress, "xdp");
    EXPECT_THAT(device().checksum.reason, Not(HasSubstr("asked for")));
    attach({.xdp = false, .tcx = tcx});
    EXPECT_NE(device().ingress, "xdp");
    at(client_, [] { ASSERT_OK(IcmpCarrier::open()->detach("c0")); });
  }
}

TEST_F(IcmpOptionsTest, WhatNobodyAskedForIsChosenAnew) {
  attach();
  EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
  complete_checksums_in_the_device(false);
  EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
  EXPECT_THAT(device().checksum.reason, HasSubstr("attached again it would be balance"));
  attach();
  EXPECT_EQ(device().checksum.mode, ChecksumMode::balance);
  // What was asked for stays, though it is what would be chosen.
  attach(balance);
  EXPECT_THAT(device().checksum.reason, HasSubstr("asked for, as it would be by itself"));
  complete_checksums_in_the_device(true);
  attach();
  EXPECT_EQ(device().checksum.mode, ChecksumMode::balance);
}

TEST_F(IcmpOptionsTest, DetachingForgetsThem) {
  attach(balance);
  at(client_, [] { ASSERT_OK(IcmpCarrier::open()->detach("c0")); });
  attach();
  EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
}

/// As after a kill between the first step of detaching and the second.
TEST_F(IcmpOptionsTest, SoDoesDetachingThatWasInterrupted) {
  attach({.checksum = ChecksumMode::balance, .xdp = true});
  const auto index = static_cast<std::uint32_t>(device().ifindex);
  at(client_, [&] {
    const auto pins = BpfPins::open(pins_name(), BpfPins::Access::change);
    DeviceTable devices(std::move(*pins->get("map-devices")));
    auto entry = devices.find(index);
    ASSERT_TRUE(entry);
    entry->closing = 1;
    ASSERT_OK(devices.put(index, *entry));
  });
  attach();
  EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
  EXPECT_NE(device().ingress, "xdp");
}

TEST_F(IcmpOptionsTest, AnotherDeviceOfTheSameIndexHasItsOwn) {
  for (const auto tcx : {Tcx::use, Tcx::avoid}) {
    attach({.checksum = ChecksumMode::balance, .xdp = true, .tcx = tcx});
    const auto before = device();
    const auto another = fmt::format(
        "ip link del c0 && ip link add c0 index {} type veth peer name c1 && ip link set c0 up",
        before.ifindex);
    ASSERT_EQ(shell(client_, another), 0);
    attach({.tcx = tcx});
    EXPECT_EQ(device().ifindex, before.ifindex);
    EXPECT_EQ(device().checksum.mode, ChecksumMode::software);
    EXPECT_NE(device().ingress, "xdp");
    at(client_, [] { ASSERT_OK(IcmpCarrier::open()->detach("c0")); });
  }
}

}  // namespace
}  // namespace warren::carrier
