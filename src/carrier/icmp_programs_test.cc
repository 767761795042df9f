// The kernel programs of the ICMP carrier, one packet at a time (bpf_prog_test_run): UDP to ICMP and
// back. Packets there have complete checksums; icmp_unfinished_test.cc has the others.
#include <array>

#include "carrier/icmp_codec.h"
#include "carrier/testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;

constexpr std::uint16_t tag = 0x3fa2;
constexpr std::uint32_t arrived_complete = 1U << 2;  // BPF_F_TEST_SKB_CHECKSUM_COMPLETE

class IcmpProgramsTest : public ProgramsTest {
 protected:
  void SetUp() override {
    ProgramsTest::SetUp();
    if (!programs_) return;
    for (const bool ipv6 : {false, true}) programs_->add_server(udp_packet(ipv6), tag);
    programs_->add_user(tag, 51820);
  }

  /// Out, over the wire, and in again; as a request and, swapped, as a reply.
  void expect_round_trip(const PacketSpec& spec, bool reply = false) {
    const auto sent = programs_->carry(build(spec));
    ASSERT_EQ(sent.verdict, go_on);
    expect_carried(spec, sent.bytes, tag, reply);
    auto restored = spec;
    restored.udp_checksum = true;  // a datagram without checksum arrives with one
    const auto received = programs_->restore(sent.bytes);
    EXPECT_EQ(received.verdict, go_on);
    EXPECT_EQ(hex(received.bytes), hex(build(restored)));
  }
  void expect_both_ways(const PacketSpec& spec) {
    expect_round_trip(spec);
    expect_round_trip(answer_to(spec), true);
  }
};

TEST_F(IcmpProgramsTest, CarriesEveryLength) {
  for (const bool ipv6 : {false, true}) {
    for (std::size_t size = 0; size <= 1472; size += size < 80 ? 1 : 87) {
      SCOPED_TRACE(size);
      expect_both_ways(udp_packet(ipv6, size));
    }
  }
}

TEST_F(IcmpProgramsTest, CarriesDatagramsWithoutChecksum) {
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t size : {0, 1, 2, 3, 4, 511, 512, 513, 1023, 1024, 1025, 1472}) {
      SCOPED_TRACE(size);
      auto spec = udp_packet(ipv6, size);
      spec.udp_checksum = false;
      expect_both_ways(spec);
    }
  }
}

TEST_F(IcmpProgramsTest, CarriesChecksumsOfAllOnes) {
  for (const bool ipv6 : {false, true}) {
    auto spec = udp_packet(ipv6, 30);
    spec.payload[0] = spec.payload[1] = std::byte{0};
    auto packet = build(spec);
    // The word that the checksum was is what is missing to the sum 0xffff.
    const auto checksum = word(packet, spec.l4() + 6);
    spec.payload[0] = static_cast<std::byte>(checksum >> 8);
    spec.payload[1] = static_cast<std::byte>(checksum);
    packet = build(spec);
    ASSERT_EQ(word(packet, spec.l4() + 6), 0xffffU);
    expect_round_trip(spec);
  }
}

TEST_F(IcmpProgramsTest, KeepsAWrongChecksumWrong) {
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6);
    auto packet = build(spec);
    set_word(packet, spec.l4() + 6, word(packet, spec.l4() + 6) ^ 0x1234);
    const auto sent = programs_->carry(packet);
    EXPECT_NE(icmp_error_of(spec, sent.bytes), 0);
    EXPECT_EQ(hex(programs_->restore(sent.bytes).bytes), hex(packet));
  }
}

TEST_F(IcmpProgramsTest, KeepsOptionsAndExtensionHeaders) {
  auto spec = udp_packet(false);
  for (std::size_t size = 4; size <= 40; size += 4) {
    spec.ip_options = Bytes(size, std::byte{1});
    expect_both_ways(spec);
  }
  wire::testing::Random random(1);
  for (int round = 0; round < 50; ++round) {
    spec = udp_packet(true);
    add_random_extensions(random, spec);
    expect_both_ways(spec);
  }
}

/// The first fragment of a message, as a router on the way cuts it.
Bytes first_fragment(const PacketSpec& spec, const Bytes& message) {
  constexpr std::size_t size = 800;
  constexpr std::size_t l3 = 14;
  auto out = part(message, 0, spec.l4());
  if (spec.ipv6) {
    set_word(out, l3 + 4, 8 + size);
    out[l3 + 6] = std::byte{44};
    put(out, 0x3a00'0001'0000'0077U, 8);
  } else {
    set_word(out, l3 + 2, 20 + size);
    set_word(out, l3 + 6, 0x2000);
    set_word(out, l3 + 10, 0);
    set_word(out, l3 + 10, wire::testing::obvious_checksum(part(out, l3, out.size())));
  }
  put(out, part(message, spec.l4(), spec.l4() + size));
  return out;
}

TEST_F(IcmpProgramsTest, CountsMessagesThatArriveInFragments) {
  std::uint64_t counted = 0;
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6, 1400);
    programs_->restore(programs_->carry(build(spec)).bytes);  // a session, for the answer
    for (const auto& each : {spec, answer_to(spec)}) {
      auto cut = first_fragment(spec, programs_->carry(build(each)).bytes);
      const auto restored = programs_->restore(cut);
      EXPECT_EQ(restored.verdict, go_on);
      EXPECT_EQ(hex(restored.bytes), hex(cut));
      EXPECT_EQ(programs_->count(ICMP_PASS_FRAGMENT), ++counted);
      cut[cut.size() - 800 + 3] ^= std::byte{1};  // another tag
      EXPECT_EQ(programs_->restore(cut).verdict, go_on);
      EXPECT_EQ(programs_->count(ICMP_PASS_FRAGMENT), counted);
    }
  }
}

TEST_F(IcmpProgramsTest, DropsWhatItCannotRewrite) {
  auto routed = udp_packet(true);  // by way of a host that is still to come
  routed.first_extension = 43;
  wire::testing::put(routed.extensions, 0x1100'0001'0000'0000U, 8);
  EXPECT_EQ(programs_->carry(build(routed)).verdict, shot);

  auto authenticated = udp_packet(true);
  authenticated.first_extension = 51;
  wire::testing::put(authenticated.extensions, 0x1102'0000'0000'0000U, 8);
  wire::testing::put(authenticated.extensions, 0, 8);
  EXPECT_EQ(programs_->carry(build(authenticated)).verdict, shot);

  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6);
    auto shorter = build(spec);  // UDP that is shorter than its IP packet
    set_word(shorter, spec.l4() + 4, 50);
    EXPECT_EQ(programs_->carry(shorter).verdict, shot);
    auto cut = build(spec);
    cut.resize(cut.size() - 1);
    EXPECT_EQ(programs_->carry(cut).verdict, shot);
  }
  EXPECT_EQ(programs_->count(ICMP_DROP_MALFORMED), 6U);
}

TEST_F(IcmpProgramsTest, LeavesPaddingAlone) {
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6, 3);
    const auto sent = programs_->carry(build(spec)).bytes;
    auto padded = sent;
    padded.resize(sent.size() + 13, std::byte{0xee});
    auto expected = build(spec);
    expected.resize(padded.size(), std::byte{0xee});
    EXPECT_EQ(hex(programs_->restore(padded).bytes), hex(expected));
    EXPECT_EQ(hex(programs_->restore_xdp(padded).bytes), hex(expected));
  }
}

TEST_F(IcmpProgramsTest, SendsSuperPacketsAwayToBeSegmented) {
  __sk_buff context{};
  context.gso_size = 50;
  const auto spec = udp_packet(false, 500);
  EXPECT_EQ(programs_->carry(build(spec), context).verdict, shot);
  EXPECT_EQ(programs_->count(ICMP_DROP_NO_DETOUR), 1U);
  icmp_device device{};
  device.link_header = 14;
  device.detour = 17;
  programs_->add_device(loopback, device);
  const auto sent = programs_->carry(build(spec), context);
  EXPECT_EQ(sent.verdict, redirected);
  EXPECT_EQ(hex(sent.bytes), hex(build(spec)));
  // At the far end: what is rewritten leaves through the device; what is not segmented, nowhere.
  device.exit = 18;
  programs_->add_device(loopback, device);
  const auto segment = programs_->carry(build(spec));
  EXPECT_EQ(segment.verdict, redirected);
  EXPECT_EQ(tag_of(spec, segment.bytes), tag);
  EXPECT_EQ(programs_->carry(build(spec), context).verdict, shot);
}

TEST_F(IcmpProgramsTest, TheIdentityOutlivesNat) {
  for (const bool ipv6 : {false, true}) {
    for (const std::uint16_t port : std::array<std::uint16_t, 5>{40123, 0x3fa2, 1, 0xffff, 0}) {
      auto inside = udp_packet(ipv6);
      inside.source_port = port;
      const auto sent = programs_->carry(build(inside)).bytes;
      for (const std::uint16_t identifier :
           std::array<std::uint16_t, 6>{0, 1, 0x3fa2, 0xc05d, 0xffff, 20000}) {
        auto outside = inside;
        outside.source_host = 0x77;
        outside.source_port = identifier;
        const auto translated = translate(inside, outside, sent, identifier);
        ASSERT_EQ(icmp_error_of(outside, translated), 0);
        EXPECT_EQ(hex(programs_->restore(translated).bytes), hex(build(outside)));
        // And back: the answer goes to the identifier that arrived, and becomes the inner one's.
        const auto answer = programs_->carry(build(answer_to(outside))).bytes;
        const auto inner = translate(answer_to(outside), answer_to(inside), answer, port);
        EXPECT_EQ(hex(programs_->restore(inner).bytes), hex(build(answer_to(inside))));
      }
    }
  }
}

TEST_F(IcmpProgramsTest, XdpRestoresTheSameBytesAsTc) {
  for (const bool ipv6 : {false, true}) {
    for (std::size_t size = 0; size <= 1472; size += 31) {
      const auto spec = udp_packet(ipv6, size);
      for (const auto& packet : {spec, answer_to(spec)}) {
        const auto message = programs_->carry(build(packet)).bytes;
        const auto by_tc = programs_->restore(message);
        const auto by_xdp = programs_->restore_xdp(message);
        EXPECT_EQ(by_xdp.verdict, 2);  // XDP_PASS
        EXPECT_EQ(hex(by_xdp.bytes), hex(by_tc.bytes));
      }
    }
  }
}

TEST_F(IcmpProgramsTest, XdpLeavesTheUnusualToTc) {
  const auto spec = udp_packet(false);
  auto other = spec;
  other.source_port = 555;
  const auto opening = programs_->carry(build(other)).bytes;  // has no session
  EXPECT_EQ(hex(programs_->restore_xdp(opening).bytes), hex(opening));
  auto options = spec;
  options.ip_options = Bytes(8, std::byte{1});
  const auto message = programs_->carry(build(options)).bytes;
  EXPECT_EQ(hex(programs_->restore_xdp(message).bytes), hex(message));
}

TEST_F(IcmpProgramsTest, KeepsTheSumThatTheDeviceTook) {
  // The kernel takes the packet's sum before, and refuses the run where it is not right after.
  for (const bool ipv6 : {false, true}) {
    auto spec = udp_packet(ipv6, 77);
    for (int round = 0; round < 2; ++round) {
      const auto message = programs_->carry(build(spec)).bytes;
      LIBBPF_OPTS(bpf_test_run_opts, probe, .data_in = message.data(),
                  .data_size_in = static_cast<std::uint32_t>(message.size()),
                  .flags = arrived_complete);
      const int program = bpf_program__fd(programs_->skeleton().progs.restore);
      if (bpf_prog_test_run_opts(program, &probe) == -EINVAL)
        GTEST_SKIP() << "this kernel cannot test packets whose sum the device took (6.16)";
      const auto restored = programs_->restore(message, arrived_complete);
      EXPECT_EQ(hex(restored.bytes), hex(build(spec)));
      if (ipv6) {
        spec.first_extension = 60;
        wire::testing::put(spec.extensions, 0x1100'0104'0000'0000U, 8);
      } else {
        spec.ip_options = Bytes(4, std::byte{1});
      }
    }
  }
}

TEST_F(IcmpProgramsTest, AgreesWithTheCodec) {
  wire::testing::Random random(7);
  const auto user = Tag{tag, Profile::warren};
  for (int round = 0; round < 300; ++round) {
    auto spec = udp_packet(round % 2 == 0, random() % 1400);
    spec.source_port = static_cast<std::uint16_t>(random());
    spec.source_host = static_cast<std::uint32_t>(random() & 0xffffff);
    spec.udp_checksum = round % 7 != 0;
    if (spec.ipv6) {
      add_random_extensions(random, spec);
    } else {
      spec.ip_options = Bytes(4 * (random() % 11), std::byte{1});
    }
    const auto by_kernel = programs_->carry(build(spec)).bytes;
    auto by_codec = build(spec);
    const auto packet = std::span(by_codec).subspan(14);
    ASSERT_EQ(carry_packet(packet, IcmpDirection::request, user), CodecStatus::done);
    EXPECT_EQ(hex(by_kernel), hex(by_codec));
    ASSERT_EQ(restore_packet(packet, IcmpDirection::request, user, 51820), CodecStatus::done);
    EXPECT_EQ(hex(programs_->restore(by_kernel).bytes), hex(by_codec));
  }
}

}  // namespace
}  // namespace warren::carrier
