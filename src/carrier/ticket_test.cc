#include "carrier/ticket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace warren::carrier {
namespace {

using ::testing::HasSubstr;

TEST(Ticket, IsOneReadableLine) {
  const Ticket alice{"alice", {"203.0.113.7", 51820}, {0x3fa2, Profile::warren}};
  EXPECT_EQ(alice.to_string(), "warren-icmp:alice@203.0.113.7:51820/3fa2");
  const Ticket six{"", {"2001:db8::7", 443}, {1, Profile::warren}};
  EXPECT_EQ(six.to_string(), "warren-icmp:[2001:db8::7]:443/0001");
  const Ticket tutu{"", {"vpn.example.org", 51820}, {7, Profile::tutu}};
  EXPECT_EQ(tutu.to_string(), "warren-icmp:vpn.example.org:51820/uid7");
  for (const auto& ticket : {alice, six, tutu}) {
    const auto parsed = Ticket::parse(ticket.to_string());
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, ticket);
  }
}

TEST(Ticket, TakesTagsAsPeopleWriteThem) {
  EXPECT_EQ(Tag::parse("0x3FA2")->value, 0x3fa2);
  EXPECT_EQ(Tag::parse("7")->value, 7);
  EXPECT_EQ(*Tag::parse("uid255"), (Tag{255, Profile::tutu}));
  EXPECT_EQ(*Tag::parse("uid0"), (Tag{0, Profile::tutu}));
}

TEST(Ticket, SaysWhatIsWrong) {
  const auto expect = [](const char* text, const char* why) {
    const auto ticket = Ticket::parse(text);
    ASSERT_FALSE(ticket) << text;
    EXPECT_THAT(ticket.error().message, HasSubstr(why));
    EXPECT_THAT(ticket.error().message, HasSubstr("is not a ticket"));
  };
  expect("", "does not begin with warren-icmp:");
  expect("warren-icmp:", "no tag behind a slash");
  expect("warren-icmp:a@h:1", "no tag behind a slash");
  expect("warren-icmp:a@h/1", "has no port");
  expect("warren-icmp:a@h:0/1", "1 to 65535");
  expect("warren-icmp:a@h:65536/1", "1 to 65535");
  expect("warren-icmp:a@h:-1/1", "1 to 65535");
  expect("warren-icmp:a@h:1/0", "not usable");
  expect("warren-icmp:a@h:1/ffff", "not usable");
  expect("warren-icmp:a@h:1/12345", "four hexadecimal digits");
  expect("warren-icmp:a@h:1/uid256", "uid0 to uid255");
  expect("warren-icmp:@h:1/1", "cannot name a user");
  expect("warren-icmp:a b@h:1/1", "cannot name a user");
  expect("warren-icmp:$(reboot)@h:1/1", "cannot name a user");
  expect("warren-icmp:a@-h:1/1", "not a host name");
  expect("warren-icmp:a@300.1.1.1:1/1", "not an IPv4 address");
  expect("warren-icmp:a@2001:db8::7:1/1", "in brackets");
  expect("warren-icmp:a@[10.0.0.1]:1/1", "not an IPv6 address");
  expect("warren-icmp:a@[::1]/1", "has no port");
  expect("warren-icmp:a\x1b[2J@h:1/1", "?[2J");
}

TEST(Ticket, StandsInAFile) {
  const auto path =
      std::filesystem::temp_directory_path() / ("warren-ticket-" + std::to_string(::getpid()));
  std::ofstream(path) << "# alice's\n\nwarren-icmp:alice@203.0.113.7:51820/3fa2\r\n";
  const auto ticket = read_ticket(path);
  ASSERT_TRUE(ticket) << ticket.error().message;
  EXPECT_EQ(ticket->user, "alice");
  std::ofstream(path) << "\nwarren-icmp:x\n";
  EXPECT_THAT(read_ticket(path).error().message, HasSubstr(path.string() + ":2: "));
  std::ofstream(path) << "# nothing\n";
  EXPECT_THAT(read_ticket(path).error().message, HasSubstr("no ticket in this file"));
  std::filesystem::remove(path);
  EXPECT_THAT(read_ticket(path).error().message, HasSubstr("No such file"));
  EXPECT_TRUE(read_ticket("warren-icmp:h:1/1"));
}

}  // namespace
}  // namespace warren::carrier
