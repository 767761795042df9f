#include "crypto/blake2s.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "crypto/testing.h"

namespace warren::crypto {
namespace {

using namespace testing;
using namespace std::string_view_literals;

TEST(Blake2s, HashesAbc) {  // RFC 7693, appendix B
  EXPECT_EQ(to_hex(blake2s("abc"sv)),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
  EXPECT_EQ(blake2s("a"sv, ""sv, "bc"sv), blake2s("abc"sv));
}

// RFC 7693, appendix E: hashes of all kinds of lengths, plain and keyed, hashed together.
TEST(Blake2s, PassesTheSelfTestOfTheRfc) {
  const auto sequence = [](std::size_t size, std::uint32_t seed) {
    Buffer out(size);
    std::uint32_t a = 0xdead4bad * seed;
    std::uint32_t b = 1;
    for (auto& byte : out) {
      const std::uint32_t t = a + b;
      a = b;
      b = t;
      byte = static_cast<std::uint8_t>(t >> 24);
    }
    return out;
  };
  Blake2s all;
  for (const std::size_t size : {16U, 20U, 28U, 32U}) {
    for (const std::size_t length : {0U, 3U, 64U, 65U, 255U, 1024U}) {
      const Buffer in = sequence(length, static_cast<std::uint32_t>(length));
      const Buffer key = sequence(size, static_cast<std::uint32_t>(size));
      for (const Bytes keyed : {Bytes{}, Bytes{key}}) {
        Buffer out(size);
        Blake2s one(size, keyed);
        one.update(in);
        one.finish(out.data());
        all.update(out);
      }
    }
  }
  Hash out;
  all.finish(out.data());
  EXPECT_EQ(to_hex(out), "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

TEST(Blake2s, AgreesWithOpenssl) {
  std::mt19937_64 random(1);
  for (std::size_t size = 0; size < 300; ++size) {
    const Buffer in = random_buffer(random, size);
    Hash theirs{};
    ASSERT_EQ(EVP_Digest(in.data(), in.size(), theirs.data(), nullptr, EVP_blake2s256(), nullptr),
              1);
    EXPECT_EQ(blake2s(in), theirs) << size;
    const Bytes whole{in};
    const std::size_t cut = size == 0 ? 0 : random() % size;
    EXPECT_EQ(blake2s(Bytes{whole.data(), cut}, Bytes{whole.data() + cut, size - cut}), theirs);
  }
}

TEST(Hmac, AgreesWithOpenssl) {
  std::mt19937_64 random(2);
  for (std::size_t size = 0; size < 150; ++size) {
    const Buffer in = random_buffer(random, size);
    const Buffer key = random_buffer(random, 1 + size % 64);
    Hash theirs{};
    unsigned length = theirs.size();
    ASSERT_NE(HMAC(EVP_blake2s256(), key.data(), static_cast<int>(key.size()), in.data(), in.size(),
                   theirs.data(), &length),
              nullptr);
    Hash ours;
    hmac_blake2s(ours, key, in);
    EXPECT_EQ(ours, theirs) << size;
  }
}

// Vectors of wireguard-go (device/kdf_test.go).
TEST(Hkdf, DerivesWhatOthersDerive) {
  const auto expect = [](std::string_view key, std::string_view input, std::string_view first,
                         std::string_view second, std::string_view third) {
    const auto keys = hkdf<3>(from_hex(key), from_hex(input));
    EXPECT_EQ(to_hex(keys[0]), first);
    EXPECT_EQ(to_hex(keys[1]), second);
    EXPECT_EQ(to_hex(keys[2]), third);
    EXPECT_EQ(hkdf<1>(from_hex(key), from_hex(input))[0], keys[0]);
    EXPECT_EQ(hkdf<2>(from_hex(key), from_hex(input))[1], keys[1]);
  };
  expect("746573742d6b6579", "746573742d696e707574",
         "6f0e5ad38daba1bea8a0d213688736f19763239305e0f58aba697f9ffc41c633",
         "df1194df20802a4fe594cde27e92991c8cae66c366e8106aaa937a55fa371e8a",
         "fac6e2745a325f5dc5d11a5b165aad08b0ada28e7b4e666b7c077934a4d76c24");
  expect("776972656775617264", "776972656775617264",
         "491d43bbfdaa8750aaf535e334ecbfe5129967cd64635101c566d4caefda96e8",
         "1e71a379baefd8a79aa4662212fcafe19a23e2b609a3db7d6bcba8f560e3d25f",
         "31e1ae48bddfbe5de38f295e5452b1909a1b4e38e183926af3780b0c1e1f0160");
  expect("", "", "8387b46bf43eccfcf349552a095d8315c4055beb90208fb1be23b894bc2ed5d0",
         "58a0e5f6faefccf4807bff1f05fa8a9217945762040bcec2f4b4a62bdfe0e86e",
         "0ce6ea98ec548f8e281e93e32db65621c45eb18dc6f0a7ad94178610a2f7338e");
}

}  // namespace
}  // namespace warren::crypto
