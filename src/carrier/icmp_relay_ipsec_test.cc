// Messages inside IPsec: a ring would see them only encrypted.
#include <fmt/format.h>

#include <cstdlib>

#include "carrier/relay_testing.h"
#include "linux/ipsec.h"

namespace warren::carrier {
namespace {

using namespace testing;

class IcmpRelayIpsecTest : public IcmpRelayTest {
 protected:
  void SetUp() override {
    IcmpRelayTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const auto policies = IpsecPolicies::watch();
    if (!policies && policies.error().code == EPROTONOSUPPORT)
      GTEST_SKIP() << "kernel without IPsec";
  }
  static bool run_in(const Fd& netns, const std::string& command) {
    const auto scope = NetnsScope::enter(netns.get());
    return std::system(command.c_str()) == 0;  // NOLINT
  }
  static std::string policy(const std::string& from, const std::string& to,
                            const std::string& direction) {
    return fmt::format(
        "ip xfrm policy add src {} dst {} dir {} tmpl src {} dst {} proto esp reqid 1 mode "
        "transport",
        from, to, direction, from, to);
  }
  /// False where the kernel has no ESP.
  [[nodiscard]] bool encrypt() const {
    const auto state = [](const std::string& from, const std::string& to) {
      return fmt::format(
          "ip xfrm state add src {} dst {} proto esp spi 0x7 reqid 1 mode transport "
          "aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128 2>/dev/null",
          from, to);
    };
    const std::string client = "10.7.0.1";
    const std::string server = "10.7.0.2";
    for (const auto* netns : {&client_, &server_})
      if (!run_in(*netns, state(client, server)) || !run_in(*netns, state(server, client)))
        return false;
    return run_in(client_, policy(client, server, "out")) &&
           run_in(client_, policy(server, client, "in")) &&
           run_in(server_, policy(server, client, "out")) &&
           run_in(server_, policy(client, server, "in"));
  }
  /// What earlier questions left is passed over.
  static std::optional<Program::Received> receive(const Program& program, const Bytes& bytes) {
    for (;;) {
      auto received = program.receive(100ms);
      if (!received || received->bytes == bytes) return received;
    }
  }
  bool ask(const Program& program, const Program& service, unsigned seed) const {
    program.send(loopback(relay_port), pattern(100, seed));
    const auto request = receive(service, pattern(100, seed));
    if (!request) return false;
    service.send(request->from, pattern(200, seed));
    return receive(program, pattern(200, seed)).has_value();
  }
  // Seed 2 was asked until there was an answer, so some of that may still be on its way.
  void expect_each_once(const Program& program, const Program& service) const {
    for (unsigned seed = 3; seed < 20; ++seed)
      program.send(loopback(relay_port), pattern(100, seed));
    for (unsigned seed = 3; seed < 20; ++seed) {
      auto bytes = service.receive_bytes();
      while (bytes == pattern(100, 2)) bytes = service.receive_bytes();
      ASSERT_EQ(bytes, pattern(100, seed)) << seed;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Family, IcmpRelayIpsecTest, ::testing::Values(false),
                         [](const auto&) { return "ipv4"; });

TEST_P(IcmpRelayIpsecTest, BothSidesDoWithoutARingWherePoliciesAre) {
  // Of others: they do not touch the messages.
  ASSERT_TRUE(run_in(client_, policy("10.9.0.1", "10.9.0.2", "out")));
  ASSERT_TRUE(run_in(server_, policy("10.9.0.1", "10.9.0.2", "out")));
  const auto [client, server, service, program] = run_both();
  EXPECT_TRUE(until_true([&] { return ask(program, service, 1); }));
  EXPECT_EQ(client.counters().ring.value() + server.counters().ring.value(), 0U);
}

TEST_P(IcmpRelayIpsecTest, BothSidesLeaveTheRingWhenPoliciesAppear) {
  const auto [client, server, service, program] = run_both();
  ASSERT_TRUE(until_true([&] { return ask(program, service, 1); }));
  EXPECT_GE(client.counters().ring.value(), 1U);
  EXPECT_GE(server.counters().ring.value(), 1U);
  ASSERT_TRUE(run_in(client_, policy("10.9.0.1", "10.9.0.2", "out")));
  ASSERT_TRUE(run_in(server_, policy("10.9.0.1", "10.9.0.2", "out")));
  EXPECT_TRUE(until_true([&] {
    const auto before = client.counters().ring.value() + server.counters().ring.value();
    return ask(program, service, 2) &&
           client.counters().ring.value() + server.counters().ring.value() == before;
  }));
  expect_each_once(program, service);
}

TEST_P(IcmpRelayIpsecTest, MessagesInTransportModeArrive) {
  const auto [client, server, service, program] = run_both();
  ASSERT_TRUE(until_true([&] { return ask(program, service, 1); }));
  if (!encrypt()) GTEST_SKIP() << "kernel without ESP: messages inside IPsec were not tested";
  EXPECT_TRUE(until_true([&] { return ask(program, service, 2); }));
  expect_each_once(program, service);
}

}  // namespace
}  // namespace warren::carrier
