#include "crypto/aead.h"

#include <gtest/gtest.h>
#include <openssl/crypto.h>

#include <cstdlib>

#include "crypto/testing.h"

namespace warren::crypto {
namespace {

using namespace testing;

// OpenSSL takes its memory from here: it lets itself be told so before it first needs some.
std::size_t openssl_allocations = 0;
void* counted_malloc(std::size_t size, const char* /*file*/, int /*line*/) {
  ++openssl_allocations;
  return std::malloc(size);
}
void* counted_realloc(void* at, std::size_t size, const char* /*file*/, int /*line*/) {
  ++openssl_allocations;
  return std::realloc(at, size);
}
void just_free(void* at, const char* /*file*/, int /*line*/) { std::free(at); }
const bool counts_allocations =
    CRYPTO_set_mem_functions(counted_malloc, counted_realloc, just_free) == 1;

struct Vector {
  const char* key;
  std::uint64_t counter;
  const char* associated;
  const char* plain;
  const char* sealed;  ///< and the tag
};

// RFC 8439, appendix A.5. (The vector of section 2.8.2 has a nonce that does not begin with zeros.)
const Vector rfc8439{
    "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", 0x0807060504030201,
    "f33388860000000000004e91",
    "496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c696420666f7220"
    "61206d6178696d756d206f6620736978206d6f6e74687320616e64206d617920626520757064617465642c207265"
    "706c616365642c206f72206f62736f6c65746564206279206f7468657220646f63756d656e747320617420616e79"
    "2074696d652e20497420697320696e617070726f70726961746520746f2075736520496e7465726e65742d447261"
    "667473206173207265666572656e6365206d6174657269616c206f7220746f2063697465207468656d206f746865"
    "72207468616e206173202fe2809c776f726b20696e2070726f67726573732e2fe2809d",
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d"
    "26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1"
    "ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b"
    "5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea"
    "1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d36"
    "1094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
    "eead9d67890cbb22392336fea1851f38"};

class AeadTest : public ::testing::TestWithParam<Aead::Backend> {
 protected:
  Aead aead_ = Aead::create(GetParam()).value();
};

// The bytes of a message, and the job that speaks of them.
struct Message {
  Message(std::mt19937_64& random, std::size_t size, std::size_t associated_size)
      : key(random_key(random)),
        counter(random()),
        plain(random_buffer(random, size)),
        associated(random_buffer(random, associated_size)),
        sealed(size + aead_tag_length),
        opened(size) {}
  [[nodiscard]] AeadJob seal() {
    return {&key, counter, plain, sealed.data(), sealed.data() + plain.size(), associated};
  }
  [[nodiscard]] AeadJob open() {
    return {&key,
            counter,
            {sealed.data(), opened.size()},
            opened.data(),
            sealed.data() + opened.size(),
            associated};
  }

  Key key;
  std::uint64_t counter;
  Buffer plain;
  Buffer associated;
  Buffer sealed;
  Buffer opened;
};

bool seals(Aead& aead, AeadJob job) {
  aead.seal({&job, 1});
  return job.ok;
}
bool opens(Aead& aead, AeadJob job) {
  aead.open({&job, 1});
  return job.ok;
}

TEST_P(AeadTest, SealsAsInTheRfc) {
  const Key key = key_from_hex(rfc8439.key);
  const Buffer plain = from_hex(rfc8439.plain);
  const Buffer associated = from_hex(rfc8439.associated);
  Buffer out(plain.size() + aead_tag_length);
  ASSERT_TRUE(seals(
      aead_, {&key, rfc8439.counter, plain, out.data(), out.data() + plain.size(), associated}));
  EXPECT_EQ(to_hex(out), rfc8439.sealed);
  Buffer opened(plain.size());
  ASSERT_TRUE(opens(aead_, {&key,
                            rfc8439.counter,
                            {out.data(), plain.size()},
                            opened.data(),
                            out.data() + plain.size(),
                            associated}));
  EXPECT_EQ(opened, plain);
}

TEST_P(AeadTest, AgreesWithSingleMessagesAtAllLengths) {
  std::mt19937_64 random(3);
  for (std::size_t size = 0; size <= 2000; ++size) {
    Message message(random, size, size % 3 == 0 ? 0 : random() % 70);
    ASSERT_TRUE(seals(aead_, message.seal())) << size;
    Buffer expected(size + aead_tag_length);
    ASSERT_TRUE(
        aead_seal(expected, message.key, message.counter, message.plain, message.associated));
    ASSERT_EQ(message.sealed, expected) << size;
    ASSERT_TRUE(opens(aead_, message.open())) << size;
    ASSERT_EQ(message.opened, message.plain) << size;
  }
}

TEST_P(AeadTest, WorksInPlaceAndUnaligned) {
  std::mt19937_64 random(4);
  for (std::size_t size = 0; size <= 2000; ++size) {
    Message message(random, size, 0);
    ASSERT_TRUE(seals(aead_, message.seal()));
    const std::size_t shift = size % 64;
    Buffer buffer(shift + size + aead_tag_length + 1, 0xa5);
    auto* const at = buffer.data() + shift;
    std::ranges::copy(message.plain, at);
    ASSERT_TRUE(seals(aead_, {&message.key, message.counter, {at, size}, at, at + size}));
    ASSERT_TRUE(std::ranges::equal(Bytes(at, size + aead_tag_length), message.sealed)) << size;
    ASSERT_TRUE(opens(aead_, {&message.key, message.counter, {at, size}, at, at + size}));
    ASSERT_TRUE(std::ranges::equal(Bytes(at, size), message.plain)) << size;
    for (std::size_t i = 0; i < shift; ++i) ASSERT_EQ(buffer[i], 0xa5);
    ASSERT_EQ(buffer.back(), 0xa5);
  }
}

TEST_P(AeadTest, WorksOnBatchesOfManyKeysAndSizes) {
  std::mt19937_64 random(5);
  for (const std::size_t count : {0U, 1U, 2U, 16U, 63U, 64U, 65U, 200U}) {
    std::vector<Message> messages;
    messages.reserve(count);
    for (std::size_t i = 0; i < count; ++i) messages.emplace_back(random, random() % 1500, i % 9);
    std::vector<AeadJob> jobs;
    jobs.reserve(count);
    for (auto& message : messages) jobs.push_back(message.seal());
    aead_.seal(jobs);
    for (const auto& job : jobs) EXPECT_TRUE(job.ok);
    jobs.clear();
    for (auto& message : messages) jobs.push_back(message.open());
    for (std::size_t i = 0; i < count; i += 3) messages[i].sealed.back() ^= 1;  // its tag
    aead_.open(jobs);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(jobs[i].ok, i % 3 != 0) << i;
      if (jobs[i].ok) {
        EXPECT_EQ(messages[i].opened, messages[i].plain);
      }
    }
  }
}

TEST_P(AeadTest, RefusesWhatWasChanged) {
  std::mt19937_64 random(6);
  for (const std::size_t size : {0U, 1U, 16U, 64U, 148U, 1420U}) {
    Message good(random, size, 12);
    ASSERT_TRUE(seals(aead_, good.seal()));
    for (std::size_t i = 0; i < good.sealed.size(); i += size > 200 ? 7 : 1) {
      Message bad = good;
      bad.sealed[i] ^= static_cast<std::uint8_t>(1U << (random() % 8));
      EXPECT_FALSE(opens(aead_, bad.open())) << size << " bytes, byte " << i;
    }
    for (std::size_t i = 0; i < good.associated.size(); ++i) {
      Message bad = good;
      bad.associated[i] ^= 0x80;
      EXPECT_FALSE(opens(aead_, bad.open())) << i;
    }
    for (int bit = 0; bit < 64; ++bit) {
      Message bad = good;
      bad.counter ^= std::uint64_t{1} << bit;
      EXPECT_FALSE(opens(aead_, bad.open())) << bit;
    }
    for (std::size_t i = 0; i < Key::length; ++i) {
      Message bad = good;
      bad.key.data()[i] ^= 1;
      EXPECT_FALSE(opens(aead_, bad.open())) << i;
    }
    EXPECT_TRUE(opens(aead_, good.open()));
  }
}

TEST_P(AeadTest, AllocatesNothing) {
  ASSERT_TRUE(counts_allocations);
  std::mt19937_64 random(7);
  Message message(random, 1420, 0);
  ASSERT_TRUE(seals(aead_, message.seal()));
  ASSERT_TRUE(opens(aead_, message.open()));
  Message forged = message;
  forged.sealed[7] ^= 1;
  EXPECT_FALSE(opens(aead_, forged.open()));
  const auto before = openssl_allocations;
  if (GetParam() == Aead::Backend::openssl) {
    EXPECT_GT(before, 0U);  // the counter works
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(seals(aead_, message.seal()));
    EXPECT_TRUE(opens(aead_, message.open()));
    EXPECT_FALSE(opens(aead_, forged.open()));
  }
  EXPECT_EQ(openssl_allocations, before);
}

INSTANTIATE_TEST_SUITE_P(Backends, AeadTest, ::testing::ValuesIn(Aead::available()),
                         [](const auto& backend) {
                           std::string name(Aead::name(backend.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(Aead, NamesTheBestBackend) {
  const auto aead = Aead::create();
  ASSERT_TRUE(aead) << aead.error().message;
  EXPECT_EQ(aead->backend(), Aead::best());
  const auto all = Aead::available();
  EXPECT_NE(std::ranges::find(all, Aead::best()), all.end());
  EXPECT_EQ(Aead::name(Aead::Backend::openssl), "openssl");
}

TEST(SingleMessage, RefusesWrongSizesAndTags) {
  const Key key = Key::random();
  Buffer sealed(5 + aead_tag_length);
  Buffer out(5);
  ASSERT_TRUE(aead_seal(sealed, key, 7, std::string_view("hello"), {}));
  ASSERT_TRUE(aead_open(out, key, 7, sealed, {}));
  EXPECT_EQ(to_hex(out), to_hex(std::string_view("hello")));
  EXPECT_FALSE(aead_open(out, key, 8, sealed, {}));
  EXPECT_EQ(out, Buffer(5));  // nothing unauthenticated is left
  EXPECT_FALSE(aead_open(out, key, 7, Bytes(sealed.data(), sealed.size() - 1), {}));
  EXPECT_FALSE(aead_open(out, key, 7, Bytes(sealed.data(), 3), {}));
  Buffer none;
  EXPECT_FALSE(aead_open(none, key, 7, Bytes(sealed.data(), 15), {}));
  EXPECT_FALSE(aead_seal(out, key, 7, std::string_view("hello"), {}));
}

// draft-irtf-cfrg-xchacha-03, section 2.2.1.
TEST(XChaCha, DerivesKeysAsInTheDraft) {
  EXPECT_EQ(to_hex(hchacha20(
                key_from_hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
                array_from_hex<16>("000000090000004a0000000031415927"))),
            "82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc");
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
TEST(XChaCha, SealsAsInTheDraft) {
  const Key key = key_from_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const auto nonce = array_from_hex<24>("404142434445464748494a4b4c4d4e4f5051525354555657");
  const Buffer associated = from_hex("50515253c0c1c2c3c4c5c6c7");
  const std::string_view plain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  Buffer sealed(plain.size() + aead_tag_length);
  ASSERT_TRUE(xaead_seal(sealed, key, nonce, plain, associated));
  EXPECT_EQ(to_hex(sealed),
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a8"
            "2f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369"
            "488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52e"
            "c0875924c1c7987947deafd8780acf49");
  Buffer opened(plain.size());
  ASSERT_TRUE(xaead_open(opened, key, nonce, sealed, associated));
  EXPECT_EQ(to_hex(opened), to_hex(plain));
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    auto other = nonce;
    other[i] ^= 1;
    EXPECT_FALSE(xaead_open(opened, key, other, sealed, associated)) << i;
  }
}

}  // namespace
}  // namespace warren::crypto
