#include "wireguard/key_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <random>

namespace warren::wireguard {
namespace {

using Bytes = std::array<std::uint8_t, key_size>;

std::string hex(const Bytes& key) {
  SecretText out;
  append_hex(out, key);
  return {out.begin(), out.end()};
}

std::string base64(const Bytes& key) {
  SecretText out;
  append_base64(out, key);
  return {out.begin(), out.end()};
}

Bytes counting() {
  Bytes key;
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i * 8 + 7);
  return key;
}

// What `wg pubkey`, base64(1) and xxd(1) say of the same bytes.
TEST(KeyText, IsWhatOtherToolsWrite) {
  EXPECT_EQ(hex(counting()), "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
  EXPECT_EQ(base64(counting()), "Bw8XHycvNz9HT1dfZ293f4ePl5+nr7e/x8/X3+fv9/8=");
  EXPECT_EQ(base64(Bytes{}), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

TEST(KeyText, ReadsWhatItWrites) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes key;
    for (auto& byte : key) byte = static_cast<std::uint8_t>(random());
    Bytes again{};
    ASSERT_TRUE(decode_hex(hex(key), again));
    ASSERT_EQ(again, key);
    again = {};
    ASSERT_TRUE(decode_base64(base64(key), again));
    ASSERT_EQ(again, key);
  }
}

// Every character at every place: the alphabet's are taken, and no others.
TEST(KeyText, TakesTheAlphabetAndNothingElse) {
  const std::string hex_alphabet = "0123456789abcdefABCDEF";
  const std::string base64_alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  Bytes key;
  for (int c = 0; c < 256; ++c) {
    for (std::size_t at = 0; at < hex_size; ++at) {
      auto text = hex(counting());
      text[at] = static_cast<char>(c);
      ASSERT_EQ(decode_hex(text, key),
                hex_alphabet.find(static_cast<char>(c)) != std::string::npos);
    }
    for (std::size_t at = 0; at < base64_size - 2; ++at) {
      auto text = base64(counting());
      text[at] = static_cast<char>(c);
      ASSERT_EQ(decode_base64(text, key),
                base64_alphabet.find(static_cast<char>(c)) != std::string::npos);
    }
  }
  EXPECT_TRUE(decode_hex("ABCDEFabcdef" + std::string(52, '0'), key));
  EXPECT_EQ(key[1], 0xcd);
}

TEST(KeyText, TakesOneTextForEachKey) {
  Bytes key;
  const auto text = base64(counting());  // ends in "/8=": the last two bits are no part of the key
  for (const char c : std::string_view("9+/")) {
    auto other = text;
    other[base64_size - 2] = c;
    EXPECT_FALSE(decode_base64(other, key)) << c;
  }
  auto unpadded = text;
  unpadded.back() = 'A';
  EXPECT_FALSE(decode_base64(unpadded, key));
}

TEST(KeyText, RefusesOtherLengths) {
  Bytes key;
  EXPECT_FALSE(decode_hex("", key));
  EXPECT_FALSE(decode_hex(std::string(63, '0'), key));
  EXPECT_FALSE(decode_hex(std::string(65, '0'), key));
  EXPECT_FALSE(decode_base64("", key));
  EXPECT_FALSE(decode_base64("=", key));
  EXPECT_FALSE(decode_base64(base64(counting()).substr(1), key));
  EXPECT_FALSE(decode_base64("A" + base64(counting()), key));
}

}  // namespace
}  // namespace warren::wireguard
