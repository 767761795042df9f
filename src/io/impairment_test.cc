#include "io/impairment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace warren {
namespace {

using namespace std::chrono_literals;

class Line {
 public:
  explicit Line(const ImpairmentConfig& config) : line_(std::move(*Impairment::create(config))) {}

  void send(std::uint32_t number, Clock::duration at, std::size_t size = 1000) {
    Batch batch;
    Packet packet = pool_->allocate();
    packet.resize(size);
    std::memset(packet.data(), 0, size);
    std::memcpy(packet.data(), &number, sizeof number);
    batch.push(std::move(packet));
    line_->enqueue(batch, Clock::time_point(at), counters);
    EXPECT_TRUE(batch.empty());
  }
  std::vector<std::uint32_t> arrivals(Clock::duration until) {
    std::vector<std::uint32_t> numbers;
    while (line_->next_departure() <= Clock::time_point(until)) {
      Batch batch;
      line_->dequeue(batch, Clock::time_point(until));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        std::uint32_t number;
        std::memcpy(&number, batch.bytes(i).data(), sizeof number);
        numbers.push_back(number);
      }
    }
    return numbers;
  }
  Clock::duration next() const { return line_->next_departure().time_since_epoch(); }
  Impairment& impairment() { return *line_; }

  Counters counters;

 private:
  std::unique_ptr<Pool> pool_ = std::move(*Pool::create(4, 10000));
  std::unique_ptr<Impairment> line_;
};

TEST(Impairment, APerfectLineChangesNothing) {
  Line line({});
  for (std::uint32_t i = 0; i < 100; ++i) line.send(i, 1s);
  const auto numbers = line.arrivals(1s);
  ASSERT_EQ(numbers.size(), 100U);
  for (std::uint32_t i = 0; i < 100; ++i) EXPECT_EQ(numbers[i], i);
}

TEST(Impairment, DelaysByTheDelayAndKeepsOrderUnderJitter) {
  Line line({.delay = 50ms, .jitter = 20ms, .queue = 2000});
  for (std::uint32_t i = 0; i < 2000; ++i) line.send(i, 1s + i * 1us);
  EXPECT_GE(line.next(), 1s + 30ms);
  EXPECT_TRUE(line.arrivals(1s + 29ms).empty());
  const auto numbers = line.arrivals(1s + 73ms);
  ASSERT_EQ(numbers.size(), 2000U);
  EXPECT_TRUE(std::ranges::is_sorted(numbers));
}

TEST(Impairment, LosesTheShareThatWasAskedForAndCountsIt) {
  Line line({.loss = 0.1, .queue = 20000});
  for (std::uint32_t i = 0; i < 20000; ++i) line.send(i, 1s);
  const auto arrived = line.arrivals(1s).size();
  EXPECT_NEAR(static_cast<double>(arrived), 18000, 200);
  EXPECT_EQ(line.counters.dropped(DropReason::impaired), 20000 - arrived);
}

TEST(Impairment, DuplicatesAndReorders) {
  Line duplicating({.duplicate = 0.5, .queue = 4000});
  for (std::uint32_t i = 0; i < 2000; ++i) duplicating.send(i, 1s);
  EXPECT_NEAR(static_cast<double>(duplicating.arrivals(1s).size()), 3000, 150);

  Line reordering({.reorder = 0.25, .delay = 10ms, .queue = 2000});
  for (std::uint32_t i = 0; i < 2000; ++i) reordering.send(i, 1s);
  EXPECT_NEAR(static_cast<double>(reordering.arrivals(1s).size()), 500, 100);
  EXPECT_FALSE(reordering.arrivals(1s + 10ms).empty());
}

TEST(Impairment, TheRateSpacesPacketsAndTheQueueIsBounded) {
  Line line({.rate = 8'000'000, .queue = 10});  // 1000 bytes a millisecond
  for (std::uint32_t i = 0; i < 15; ++i) line.send(i, 1s);
  EXPECT_EQ(line.counters.dropped(DropReason::queue_full), 5U);
  EXPECT_EQ(line.arrivals(1s + 3500us).size(), 3U);
  EXPECT_EQ(line.next(), 1s + 4ms);
  EXPECT_EQ(line.arrivals(1s + 10ms).size(), 7U);
}

TEST(Impairment, TheSameSeedGivesTheSameCourse) {
  const ImpairmentConfig config{
      .loss = 0.2, .duplicate = 0.1, .reorder = 0.1, .delay = 5ms, .jitter = 2ms, .seed = 42};
  std::vector<std::vector<std::uint32_t>> courses;
  for (int run = 0; run < 2; ++run) {
    Line line(config);
    for (std::uint32_t i = 0; i < 500; ++i) line.send(i, 1s + i * 10us);
    courses.push_back(line.arrivals(2s));
  }
  EXPECT_EQ(courses[0], courses[1]);
}

TEST(Impairment, RefusesWhatIsTooBigForItsBuffers) {
  Line line({});
  line.send(1, 1s, Impairment::max_packet_size + 1);
  EXPECT_EQ(line.counters.dropped(DropReason::too_big), 1U);
  EXPECT_TRUE(line.arrivals(1s).empty());
}

TEST(Impairment, KeepsWhatWaitsWhenItIsReconfigured) {
  Line line({.delay = 10ms});
  line.send(1, 1s);
  line.impairment().reconfigure({.loss = 1});
  line.send(2, 1s);
  EXPECT_EQ(line.arrivals(1s + 10ms), (std::vector<std::uint32_t>{1}));
}

}  // namespace
}  // namespace warren
