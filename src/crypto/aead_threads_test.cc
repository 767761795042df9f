#include "crypto/aead_threads.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "crypto/testing.h"

namespace warren::crypto {
namespace {

using namespace testing;

struct Sealed {
  std::vector<Buffer> messages;  ///< each with its tag
  Key key = Key::random();

  std::vector<AeadJob> jobs() {
    std::vector<AeadJob> out;
    for (std::size_t i = 0; i < messages.size(); ++i) {
      auto& message = messages[i];
      const auto size = message.size() - aead_tag_length;
      out.push_back({&key, i, {message.data(), size}, message.data(), message.data() + size});
    }
    return out;
  }
};

// Every job is done once: sealing a message in place twice would not open.
TEST(AeadThreads, DoEveryJobOfEveryBatchOnce) {
  std::mt19937_64 random(1);
  auto shared = Aead::create(Aead::best(), 3).value();
  auto alone = Aead::create(Aead::Backend::openssl).value();
  for (int round = 0; round < 300; ++round) {
    Sealed batch;
    const auto count = random() % 200;
    for (std::size_t i = 0; i < count; ++i)
      batch.messages.push_back(random_buffer(random, aead_tag_length + random() % 300));
    const auto plain = batch.messages;
    auto jobs = batch.jobs();
    // Sealed by one and opened by the other, in turns.
    (round % 2 == 0 ? shared : alone).seal(jobs);
    if (count > 0 && round % 3 == 0) batch.messages[count / 2].back() ^= 1;
    (round % 2 == 0 ? alone : shared).open(jobs);
    for (std::size_t i = 0; i < count; ++i) {
      const bool damaged = round % 3 == 0 && i == count / 2;
      ASSERT_EQ(jobs[i].ok, !damaged) << round << " " << i;
      const auto size = plain[i].size() - aead_tag_length;
      if (!damaged) {
        ASSERT_TRUE(std::equal(plain[i].begin(), plain[i].begin() + static_cast<long>(size),
                               batch.messages[i].begin()));
      }
    }
  }
}

TEST(AeadThreads, EndWhileTheyAreBusyAndWhileTheySleep) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20; ++i) {
    auto shared = Aead::create(Aead::best(), 4).value();
    Sealed batch;
    for (int k = 0; k < 64; ++k) batch.messages.push_back(random_buffer(random, 100));
    auto jobs = batch.jobs();
    if (i % 2 == 0) shared.seal(jobs);
    if (i % 4 == 0) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace warren::crypto
