// Fragments, and the errors that routers send about carried packets.
#include "carrier/icmp_codec.h"
#include "carrier/testing.h"

namespace warren::carrier {
namespace {

using namespace testing;  // NOLINT
using wire::testing::build;
using wire::testing::obvious_checksum;

constexpr std::uint16_t tag = 0x3fa2;

/// An error about `quoted`, an Ethernet frame, from host 9 to the sender of `about`.
Bytes error_about(const PacketSpec& about, const Bytes& quoted, unsigned type, unsigned code,
                  unsigned rest) {
  PacketSpec spec = about;
  spec.source_host = 9;
  spec.destination_host = about.source_host;
  spec.ip_options.clear();
  spec.extensions.clear();
  const auto quote = part(quoted, 14, std::min(quoted.size(), 14 + std::size_t{548}));
  auto out = build(spec);
  out.resize(spec.l4() - (spec.ipv6 ? 40 : 20));
  put(out, build_ip_header(spec, 8 + quote.size()));
  out[14 + (spec.ipv6 ? 6 : 9)] = std::byte{spec.ipv6 ? std::uint8_t{58} : std::uint8_t{1}};
  if (!spec.ipv6) {
    set_word(out, 14 + 10, 0);
    set_word(out, 14 + 10, obvious_checksum(part(out, 14, 34)));
  }
  wire::testing::put(out, type << 8 | code, 2);
  wire::testing::put(out, 0, 2);
  wire::testing::put(out, rest, 4);
  put(out, quote);
  set_word(out, spec.l4() + 2, icmp_error_of(spec, out));
  return out;
}

class IcmpErrorsTest : public ProgramsTest {};

TEST_F(IcmpErrorsTest, AFragmentIsDroppedAndItsSenderTold) {
  for (const bool ipv6 : {false, true}) {
    auto spec = udp_packet(ipv6, 3000);
    spec.dont_fragment = false;
    programs_->add_server(spec, tag);
    const auto tail = fragment_of(spec, 1480, 2960);
    EXPECT_EQ(programs_->carry(tail).verdict, go_on) << "nothing is known about it yet";
    const auto first = fragment_of(spec, 0, 1480);
    const auto told = programs_->carry(first);
    EXPECT_EQ(told.verdict, redirected);
    const std::size_t quoted = (ipv6 ? 48 : 20) + 8;
    auto cut = part(first, 0, 14 + quoted);
    auto expected = error_about(answer_to(spec), cut, ipv6 ? 2 : 3, ipv6 ? 0 : 4, 1500);
    // From the destination to the source, at both layers.
    auto header = answer_to(spec);
    header.source_host = spec.destination_host;
    header.destination_host = spec.source_host;
    header.id = 0;
    const auto ip = build_ip_header(header, 8 + quoted);
    std::copy(ip.begin(), ip.end(), expected.begin() + 14);
    expected[14 + (ipv6 ? 6 : 9)] = std::byte{ipv6 ? std::uint8_t{58} : std::uint8_t{1}};
    if (!ipv6) {
      set_word(expected, 14 + 10, 0);
      set_word(expected, 14 + 10, obvious_checksum(part(expected, 14, 34)));
    }
    set_word(expected, header.l4() + 2, 0);
    set_word(expected, header.l4() + 2, icmp_error_of(header, expected));
    std::swap_ranges(expected.begin(), expected.begin() + 6, expected.begin() + 6);
    EXPECT_EQ(hex(told.bytes), hex(expected));
    EXPECT_EQ(programs_->carry(tail).verdict, shot);
    EXPECT_EQ(programs_->carry(fragment_of(spec, 2960, 3008)).verdict, shot);
    EXPECT_EQ(programs_->carry(fragment_of(spec, 1480, 2960, 0x5555)).verdict, go_on);
  }
  EXPECT_EQ(programs_->count(ICMP_DROP_FRAGMENT), 6U);
}

TEST_F(IcmpErrorsTest, OtherFragmentsPass) {
  programs_->add_server(udp_packet(false), tag);
  for (const bool ipv6 : {false, true}) {
    auto spec = udp_packet(ipv6, 3000);
    spec.destination_port = 53;
    for (const auto& packet : {fragment_of(spec, 0, 1480), fragment_of(spec, 1480, 3008)}) {
      const auto sent = programs_->carry(packet);
      EXPECT_EQ(sent.verdict, go_on);
      EXPECT_EQ(hex(sent.bytes), hex(packet));
    }
  }
}

TEST_F(IcmpErrorsTest, QuotesOfCarriedPacketsBecomeUdp) {
  programs_->add_user(tag, 51820);
  for (const bool ipv6 : {false, true}) {
    for (const std::size_t size : {0, 7, 200, 1400}) {
      for (int shape = 0; shape < 2; ++shape) {
        auto spec = udp_packet(ipv6, size);
        if (shape == 1 && ipv6) {
          spec.first_extension = 60;
          wire::testing::put(spec.extensions, 0x1100'0104'0000'0000U, 8);
        } else if (shape == 1) {
          spec.ip_options = Bytes(8, std::byte{1});
        }
        programs_->add_server(spec, tag);
        const auto type = ipv6 ? 2 : 3;
        const auto code = ipv6 ? 0 : 4;
        const auto request = programs_->carry(build(spec)).bytes;
        const auto about_request = error_about(spec, request, type, code, 1400);
        EXPECT_EQ(hex(programs_->restore(about_request).bytes),
                  hex(error_about(spec, build(spec), type, code, 1400)));
        EXPECT_EQ(hex(programs_->restore(about_request, 1U << 2).bytes),
                  hex(error_about(spec, build(spec), type, code, 1400)));
        // The server is told about its replies: the session that it answered is there.
        ASSERT_EQ(hex(programs_->restore(request).bytes), hex(build(spec)));
        const auto answer = answer_to(spec);
        const auto reply = programs_->carry(build(answer)).bytes;
        const auto about_reply = error_about(answer, reply, ipv6 ? 1 : 11, 0, 0);
        EXPECT_EQ(hex(programs_->restore(about_reply).bytes),
                  hex(error_about(answer, build(answer), ipv6 ? 1 : 11, 0, 0)));
      }
    }
  }
}

TEST_F(IcmpErrorsTest, OtherErrorsAreLeftAlone) {
  programs_->add_server(udp_packet(false), tag);
  programs_->add_user(tag, 51820);
  for (const bool ipv6 : {false, true}) {
    const auto spec = udp_packet(ipv6);
    auto ping = build(spec);
    ASSERT_EQ(carry_packet(std::span(ping).subspan(14), IcmpDirection::request, {tag + 1}),
              CodecStatus::done);
    auto tcp = spec;
    tcp.tcp = true;
    for (const auto& quoted :
         {ping, build(spec), build(tcp), part(ping, 0, 40), part(ping, 0, 16)}) {
      const auto error = error_about(spec, quoted, ipv6 ? 1 : 3, 1, 0);
      EXPECT_EQ(hex(programs_->restore(error).bytes), hex(error));
    }
  }
}

}  // namespace
}  // namespace warren::carrier
