#include "config/toml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace warren::config {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

TomlDocument parsed(std::string_view text) {
  auto document = TomlDocument::parse(text, "home.toml");
  if (!document) throw std::runtime_error(document.error().message);
  return std::move(*document);
}

std::string message_of(TomlDocument& document) {
  const auto finished = document.finish();
  return finished ? "" : finished.error().message;
}

TEST(TomlReader, ReadsEveryType) {
  auto document = parsed(R"(
    text = "a"
    count = 7
    share = 0.25
    flag = true
    wait = "10ms"
    rate = "500mbit"
    loss = "1.5%"
    many = ["x", "y"]
    links = [["a", "b"], ["c"]]
    [tun.one]
    [tun.two]
    [[peer]]
    key = "k"
  )");
  auto root = document.root();
  EXPECT_EQ(root.string("text"), "a");
  EXPECT_EQ(root.integer("count", 0, 10), 7);
  EXPECT_EQ(root.number("share", 0, 1), 0.25);
  EXPECT_EQ(root.boolean("flag"), true);
  EXPECT_EQ(root.duration("wait"), 10ms);
  EXPECT_EQ(root.rate("rate"), 500'000'000U);
  EXPECT_DOUBLE_EQ(root.percent("loss").value(), 0.015);
  EXPECT_THAT(root.strings("many"), ElementsAre("x", "y"));
  ASSERT_EQ(root.lists("links").size(), 2U);
  const auto tuns = root.named_tables("tun");
  ASSERT_EQ(tuns.size(), 2U);
  EXPECT_EQ(tuns[1].first, "two");
  EXPECT_EQ(tuns[1].second.path(), "tun.two");
  auto peers = root.tables("peer");
  ASSERT_EQ(peers.size(), 1U);
  EXPECT_EQ(peers[0].string("key"), "k");
  EXPECT_EQ(root.string("absent"), std::nullopt);
  EXPECT_EQ(message_of(document), "");
}

TEST(TomlReader, UnknownKeyNamesItsPlaceAndTheNearestKnownKey) {
  auto document = parsed("[tun.tun11]\n  adress = []\n");
  auto tun = document.root().named_tables("tun")[0].second;
  EXPECT_TRUE(tun.strings("address").empty());
  EXPECT_FALSE(tun.integer("mtu", 68, 65535));
  EXPECT_EQ(message_of(document),
            "home.toml:2:3: unknown key \"adress\" in [tun.tun11]; did you mean \"address\"?");
}

TEST(TomlReader, AKeyOfTheFileInASectionIsToldWhereItBelongs) {
  auto document = parsed("[tun.a]\nlinks = []\n");
  auto root = document.root();
  (void)root.lists("links");
  (void)root.named_tables("tun");
  EXPECT_EQ(
      message_of(document),
      "home.toml:2:1: unknown key \"links\" in [tun.a]; it is a key of the file: write it before "
      "the first section");
}

TEST(TomlReader, ReportsAllProblemsInTheOrderOfTheFile) {
  auto document =
      parsed("mtu = \"big\"\nqueues = 300\nwait = \"10 parsecs\"\nnames = [1]\nzzz = 1\n");
  auto root = document.root();
  EXPECT_TRUE(root.strings("names").empty());
  EXPECT_FALSE(root.duration("wait"));
  EXPECT_FALSE(root.integer("queues", 1, 256));
  EXPECT_FALSE(root.integer("mtu", 68, 65535));
  EXPECT_EQ(
      message_of(document),
      "home.toml:1:7: mtu in the file must be an integer, not a string\n"
      "home.toml:2:10: queues in the file is 300; it must be from 1 to 256\n"
      "home.toml:3:8: \"10 parsecs\" is not a duration, such as \"10ms\", \"1.5s\" or \"2min\"\n"
      "home.toml:4:10: an element of names in the file must be a string, not an integer\n"
      "home.toml:5:1: unknown key \"zzz\" in the file");
}

TEST(TomlReader, SyntaxErrorsNameTheirPlace) {
  const auto document = TomlDocument::parse("a = 1\nb = = 2\n", "home.toml");
  ASSERT_FALSE(document);
  EXPECT_THAT(document.error().message, testing::StartsWith("home.toml:2:5: "));
}

TEST(TomlReader, FilesThatCannotBeRead) {
  const auto absent = TomlDocument::read_file("/nonexistent/home.toml");
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().message,
            "cannot read /nonexistent/home.toml: No such file or directory");
  const auto directory = TomlDocument::read_file("/");
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().message, "cannot read /: Is a directory");
}

}  // namespace
}  // namespace warren::config
