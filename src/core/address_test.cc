#include <gtest/gtest.h>

#include <warren/address.h>

namespace warren {
namespace {

TEST(IpAddress, ParsesAndPrintsBothFamilies) {
  for (const char* text : {"10.0.1.1", "0.0.0.0", "fd00::1", "::", "2001:db8::1:0:0:1"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_TRUE(address) << address.error().message;
    EXPECT_EQ(address->to_string(), text);
  }
  EXPECT_EQ(IpAddress::parse("10.0.1.1")->bits(), 32U);
  EXPECT_EQ(IpAddress::parse("::1")->bits(), 128U);
}

TEST(IpAddress, RefusesWhatIsNone) {
  for (const char* text :
       {"", "10.0.1", "10.0.1.256", "10.0.1.1 ", "host", "fd00:::1", "1.2.3.4/8"}) {
    const auto address = IpAddress::parse(text);
    ASSERT_FALSE(address) << text;
    EXPECT_NE(address.error().message.find(text), std::string::npos);
  }
}

TEST(IpPrefix, KeepsHostBitsAndDefaultsToTheWholeAddress) {
  EXPECT_EQ(IpPrefix::parse("10.0.1.1/24")->to_string(), "10.0.1.1/24");
  EXPECT_EQ(IpPrefix::parse("10.0.1.1")->length, 32U);
  EXPECT_EQ(IpPrefix::parse("fd00::1")->length, 128U);
  EXPECT_EQ(IpPrefix::parse("::/0")->length, 0U);
}

TEST(IpPrefix, RefusesBadLengths) {
  for (const char* text :
       {"10.0.1.1/33", "10.0.1.1/", "10.0.1.1/-1", "10.0.1.1/8x", "fd00::1/129", "/24", "x/24"})
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
}

TEST(MacAddress, ParsesAndRefuses) {
  EXPECT_EQ(MacAddress::parse("02:00:5e:00:00:ff")->to_string(), "02:00:5e:00:00:ff");
  for (const char* text :
       {"", "02:00:5e:00:00", "02:00:5e:00:00:fg", "02-00-5e-00-00-ff", "02:00:5e:00:00:ff:"})
    EXPECT_FALSE(MacAddress::parse(text)) << text;
}

}  // namespace
}  // namespace warren
