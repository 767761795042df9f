// What a shortcut learns from a frame, and what it makes of it. No privileges.
#include "carrier/icmp_shortcut.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "wire/ipv4.h"
#include "wire/ipv6.h"

namespace warren::carrier {
namespace {

using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;
using Way = IcmpShortcut::Way;

constexpr Tag tag{.value = 0x3fa2};
constexpr std::size_t link_length = 14;
constexpr IcmpShortcut::Time start{1h};

struct Frame {
  Bytes bytes;
  EchoFields fields{.identifier = 77};
  IpAddress to;
  std::size_t payload = 0;

  [[nodiscard]] std::byte* ip() { return bytes.data() + link_length; }
};

Frame make_frame(bool ipv6, std::size_t payload) {
  Frame frame;
  frame.to = *IpAddress::parse(ipv6 ? "fd07::2" : "10.7.0.2");
  frame.payload = payload;
  const std::size_t ip_length = ipv6 ? 40 : 20;
  const auto message = static_cast<std::uint16_t>(echo_header_length + payload);
  frame.bytes.resize(link_length + ip_length + message, std::byte{0x5a});
  EchoPath path{.ipv6 = ipv6};
  auto* ip = frame.ip();
  std::fill_n(ip, ip_length, std::byte{0});
  if (ipv6) {
    wire::store8(ip, 0x60);
    wire::store16(ip + 4, message);
    wire::store8(ip + 6, wire::ip_protocol::icmpv6);
    wire::store8(ip + 8, 0xfd);
    std::copy_n(std::as_bytes(std::span(frame.to.bytes)).begin(), 16, ip + 24);
    path.addresses = wire::sum_bytes({ip + 8, 32});
  } else {
    wire::store8(ip, 0x45);
    wire::store16(ip + 2, static_cast<std::uint16_t>(ip_length + message));
    wire::store16(ip + 6, wire::Ipv4View::dont_fragment);
    wire::store8(ip + 8, 64);
    wire::store8(ip + 9, wire::ip_protocol::icmp);
    wire::store8(ip + 12, 10);
    std::copy_n(std::as_bytes(std::span(frame.to.bytes)).begin(), 4, ip + 16);
    wire::store_raw(ip + 10, wire::finish(wire::sum_bytes({ip, 20})));
  }
  write_echo_header(ip + ip_length, frame.fields, tag, path, payload,
                    wire::sum_bytes({ip + ip_length + echo_header_length, payload}));
  return frame;
}

bool learn(IcmpShortcut& shortcut, const Frame& frame, int device = 7) {
  return shortcut.learn({frame.bytes, device}, frame.fields, tag, frame.to, frame.payload);
}

class IcmpShortcutTest : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Family, IcmpShortcutTest, ::testing::Bool(),
                         [](const auto& family) { return family.param ? "ipv6" : "ipv4"; });

TEST_P(IcmpShortcutTest, BusyConversationSamplesAndThenTakesIt) {
  IcmpShortcut shortcut;
  for (int i = 1; i < 16; ++i) EXPECT_EQ(shortcut.choose(100, start, 0), Way::socket) << i;
  EXPECT_EQ(shortcut.choose(100, start, 0), Way::sample);
  ASSERT_TRUE(learn(shortcut, make_frame(GetParam(), 100)));
  EXPECT_EQ(shortcut.choose(100, start + 99ms, 0), Way::frame);
  EXPECT_EQ(shortcut.choose(0, start + 99ms, 0), Way::frame);
  // A longer one may not fit, and is a sample of its own.
  EXPECT_EQ(shortcut.choose(101, start + 99ms, 0), Way::sample);
  shortcut.refuse(101);
  EXPECT_EQ(shortcut.choose(101, start + 99ms, 0), Way::socket);
  EXPECT_EQ(shortcut.choose(100, start + 99ms, 0), Way::frame);
  EXPECT_EQ(shortcut.choose(100, start + 100ms, 0), Way::socket) << "too old";
}

TEST_P(IcmpShortcutTest, AnotherEpochVoidsIt) {
  IcmpShortcut shortcut;
  for (int i = 0; i < 16; ++i) (void)shortcut.choose(100, start, 0);
  ASSERT_TRUE(learn(shortcut, make_frame(GetParam(), 100)));
  EXPECT_EQ(shortcut.choose(100, start, 1), Way::socket);
}

TEST_P(IcmpShortcutTest, SlowConversationNeverSamples) {
  IcmpShortcut shortcut;
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(shortcut.choose(100, start + i * 7ms, 0), Way::socket) << i;
}

TEST_P(IcmpShortcutTest, FramesThatCannotBeRepeatedAreRefused) {
  IcmpShortcut shortcut;
  const auto good = make_frame(GetParam(), 100);
  EXPECT_FALSE(learn(shortcut, good, 1)) << "loopback";
  for (std::size_t size = 0; size < good.bytes.size() - link_length; size += 9) {
    auto cut = good;
    cut.bytes.resize(size);
    EXPECT_FALSE(learn(shortcut, cut)) << size;
  }
  auto frame = good;
  frame.fields.identifier ^= 1;
  EXPECT_FALSE(learn(shortcut, frame)) << "translated, or of another conversation";
  frame = good;
  frame.fields.direction = IcmpDirection::reply;
  EXPECT_FALSE(learn(shortcut, frame));
  frame = good;
  frame.to.bytes[3] ^= 1;
  EXPECT_FALSE(learn(shortcut, frame)) << "another destination";
  frame = good;
  frame.payload -= 1;
  EXPECT_FALSE(learn(shortcut, frame)) << "another length";
  frame = good;
  frame.bytes.insert(frame.bytes.begin(), 100, std::byte{0});
  EXPECT_FALSE(learn(shortcut, frame)) << "link header";
  frame = good;
  wire::store8(frame.ip() + (GetParam() ? 6 : 9), 50);
  EXPECT_FALSE(learn(shortcut, frame)) << "IPsec";
  if (!GetParam()) {
    for (const auto word : std::to_array<std::uint16_t>({0x0000, 0x2000, 0x6000, 0x4001})) {
      frame = good;
      wire::store16(frame.ip() + 6, word);
      EXPECT_FALSE(learn(shortcut, frame)) << "fragments: " << word;
    }
  }
  EXPECT_TRUE(learn(shortcut, good));
}

TEST_P(IcmpShortcutTest, FramesOfEveryLengthAreAsTheKernelMakesThem) {
  IcmpShortcut shortcut;
  ASSERT_TRUE(learn(shortcut, make_frame(GetParam(), 1472)));
  for (std::size_t payload = 0; payload <= 1472; ++payload) {
    const auto expected = make_frame(GetParam(), payload);
    const Bytes data(payload, std::byte{0x5a});
    Bytes headers(SendBatch::scratch_size);
    headers.resize(shortcut.write_headers(headers.data(), expected.fields, tag, data));
    ASSERT_EQ(headers.size() + payload, expected.bytes.size());
    ASSERT_TRUE(std::ranges::equal(headers, std::span(expected.bytes).first(headers.size())))
        << payload;
  }
}

}  // namespace
}  // namespace warren::carrier
