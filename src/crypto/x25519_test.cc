#include "crypto/x25519.h"

#include <gtest/gtest.h>

#include "crypto/testing.h"

namespace warren::crypto {
namespace {

using namespace testing;

std::string multiply(std::string_view scalar, std::string_view point) {
  Key out;
  EXPECT_TRUE(x25519(out, key_from_hex(scalar), array_from_hex<32>(point)));
  return to_hex(out);
}

TEST(X25519, MultipliesAsInTheRfc) {  // RFC 7748, section 5.2
  EXPECT_EQ(multiply("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"),
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  EXPECT_EQ(multiply("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519, IteratesAsInTheRfc) {  // RFC 7748, section 5.2
  Key k = key_from_hex("0900000000000000000000000000000000000000000000000000000000000000");
  auto u = array_from_hex<32>(to_hex(k));
  for (int i = 0; i < 1000; ++i) {
    Key result;
    ASSERT_TRUE(x25519(result, k, u));
    std::ranges::copy(k, u.begin());
    k = result;
    if (i == 0) {
      EXPECT_EQ(to_hex(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(to_hex(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519, AgreesOnAKey) {  // RFC 7748, section 6.1
  const auto alice =
      key_from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const auto bob = key_from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(to_hex(x25519_public(alice)),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(to_hex(x25519_public(bob)),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  Key shared;
  ASSERT_TRUE(x25519(shared, alice, x25519_public(bob)));
  EXPECT_EQ(to_hex(shared), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  ASSERT_TRUE(x25519(shared, bob, x25519_public(alice)));
  EXPECT_EQ(to_hex(shared), "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

// All the points of small order, and the ways to write them that are not reduced: RFC 7748,
// section 6.1, and https://cr.yp.to/ecdh.html#validate.
TEST(X25519, RefusesPointsOfSmallOrder) {
  const char* const points[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "0000000000000000000000000000000000000000000000000000000000000080",
  };
  for (const auto* point : points) {
    Key out = Key::random();
    EXPECT_FALSE(x25519(out, x25519_generate(), array_from_hex<32>(point))) << point;
    EXPECT_TRUE(out.is_zero());
  }
}

TEST(X25519, GeneratesClampedKeysThatDiffer) {
  const Key a = x25519_generate();
  const Key b = x25519_generate();
  EXPECT_FALSE(a == b);
  EXPECT_EQ(a.data()[0] & 7, 0);
  EXPECT_EQ(a.data()[31] & 0xc0, 0x40);
  Key one;
  Key two;
  ASSERT_TRUE(x25519(one, a, x25519_public(b)));
  ASSERT_TRUE(x25519(two, b, x25519_public(a)));
  EXPECT_EQ(one, two);
}

}  // namespace
}  // namespace warren::crypto
