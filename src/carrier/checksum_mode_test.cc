#include "carrier/checksum_mode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::carrier {
namespace {

using ::testing::HasSubstr;
using Features = std::map<std::string, bool>;

const Features generic = {{"tx-checksum-ipv4", false}, {"tx-checksum-ip-generic", true}};
const Features only_tcp_and_udp = {
    {"tx-checksum-ipv4", true}, {"tx-checksum-ipv6", true}, {"tx-checksum-ip-generic", false}};
const Features none = {{"tx-checksum-ip-generic", false}, {"rx-checksum", true}};

void expect(const DeviceTraits& device, ChecksumMode mode, const char* reason) {
  const auto choice = choose_checksum_mode(device);
  EXPECT_EQ(choice.mode, mode) << choice.reason;
  EXPECT_THAT(choice.reason, HasSubstr(reason));
}

TEST(ChecksumMode, BalancesWhereTheHardwareCompletesByPlace) {
  expect({.driver = "e1000e", .bus = "0000:00:19.0", .features = generic}, ChecksumMode::balance,
         "e1000e");
}

TEST(ChecksumMode, BalancesWhereTheKernelCompletes) {
  expect({.driver = "r8169", .bus = "0000:01:00.0", .features = none}, ChecksumMode::balance,
         "the kernel");
  expect({.kind = "veth", .driver = "veth", .features = none}, ChecksumMode::balance, "the kernel");
  expect({.kind = "ppp", .features = {}}, ChecksumMode::balance, "the kernel");
  expect({.kind = "tun", .driver = "tun", .bus = "tun", .features = none}, ChecksumMode::balance,
         "the kernel");
  expect({.kind = "wireguard", .driver = "wireguard", .features = generic}, ChecksumMode::balance,
         "WireGuard");
}

TEST(ChecksumMode, DoesNotTrustWhatLeadsToAnotherKernel) {
  expect({.kind = "veth", .driver = "veth", .features = generic}, ChecksumMode::software,
         "veth passes");
  expect({.kind = "tun", .driver = "tun", .bus = "tap", .features = generic},
         ChecksumMode::software, "tun passes");
  expect({.driver = "virtio_net", .bus = "0000:00:03.0", .features = generic},
         ChecksumMode::software, "virtio_net passes");
}

TEST(ChecksumMode, DoesNotTrustWhatKnowsOnlyTcpAndUdp) {
  expect({.driver = "mvneta", .bus = "f1070000.ethernet", .features = only_tcp_and_udp},
         ChecksumMode::software, "only the checksums of TCP and UDP");
}

TEST(ChecksumMode, DoesNotTrustWhatItDoesNotKnow) {
  expect({.kind = "vlan", .driver = "802.1Q VLAN Support", .features = generic},
         ChecksumMode::software, "a vlan");
  expect({.driver = "new", .features = generic}, ChecksumMode::software, "not known");
  expect({.features = generic, .loopback = true}, ChecksumMode::software, "loopback");
}

TEST(ChecksumMode, SuperPacketsPassBetweenNamespacesThatSegmentNothing) {
  EXPECT_TRUE(
      passes_super_packets({.driver = "veth", .features = {{"tx-udp-segmentation", true}}}));
  EXPECT_FALSE(
      passes_super_packets({.driver = "veth", .features = {{"tx-udp-segmentation", false}}}));
  EXPECT_FALSE(
      passes_super_packets({.driver = "mlx5_core", .features = {{"tx-udp-segmentation", true}}}));
}

}  // namespace
}  // namespace warren::carrier
