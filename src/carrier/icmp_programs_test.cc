// The kernel programs of the ICMP carrier, one packet at a time (bpf_prog_test_run). Packets there
// have complete checksums; icmp_unfinished_test.cc has the others.
#include "carrier/testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;

constexpr std::uint16_t tag = 0x3fa2;

PacketSpec udp_packet(bool ipv6, std::size_t payload_size = 100) {
  wire::testing::Random random(payload_size + ipv6);
  PacketSpec spec;
  spec.medium = Medium::ethernet;
  spec.ipv6 = ipv6;
  spec.tcp = false;
  spec.source_port = 40123;
  spec.destination_port = 51820;
  spec.payload = wire::testing::random_bytes(random, payload_size);
  return spec;
}

/// The answer: from the server's port to the identifier that arrived.
PacketSpec answer_to(PacketSpec spec) {
  std::swap(spec.source_port, spec.destination_port);
  std::swap(spec.source_host, spec.destination_host);
  return spec;
}

class IcmpProgramsTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string why;
    programs_ = Programs::load(why);
    if (!programs_) GTEST_SKIP() << why;
    icmp_device device{};
    device.mtu = 1500;
    device.link_header = 14;
    programs_->add_device(loopback, device);
  }

  std::optional<Programs> programs_;
};

TEST_P(IcmpProgramsTest, CarriesAndRestoresEveryLength) {
  const bool ipv6 = GetParam();
  programs_->add_server(udp_packet(ipv6), tag);
  programs_->add_user(tag, 51820);
  for (std::size_t size = 0; size <= 1472; size += size < 80 ? 1 : 87) {
    SCOPED_TRACE(size);
    const auto spec = udp_packet(ipv6, size);
    const auto request = programs_->carry(build(spec));
    ASSERT_EQ(request.verdict, go_on);
    EXPECT_EQ(hex(request.bytes),
              hex(expected_message(spec, request.bytes, false, spec.source_port)));
    EXPECT_EQ(icmp_error_of(spec, request.bytes), 0);
    EXPECT_EQ(tag_of(spec, request.bytes), tag);

    const auto restored = programs_->restore(request.bytes);
    EXPECT_EQ(restored.verdict, go_on);
    EXPECT_EQ(hex(restored.bytes), hex(build(spec)));

    // `servers` would send the answer as a request: a host that is both is another test.
    const auto answer = answer_to(spec);
    const auto reply = programs_->carry(build(answer));
    ASSERT_EQ(reply.verdict, go_on);
    EXPECT_EQ(hex(reply.bytes), hex(expected_message(answer, reply.bytes, true, spec.source_port)));
    EXPECT_EQ(icmp_error_of(answer, reply.bytes), 0);
    EXPECT_EQ(tag_of(answer, reply.bytes), tag);
    EXPECT_EQ(hex(programs_->restore(reply.bytes).bytes), hex(build(answer)));
  }
}

INSTANTIATE_TEST_SUITE_P(Ip, IcmpProgramsTest, ::testing::Values(false, true),
                         [](const auto& ip) { return ip.param ? "v6" : "v4"; });

}  // namespace
}  // namespace warren::carrier
