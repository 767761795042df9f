#include "io/impairment.h"

#include <algorithm>
#include <cstring>

namespace warren {

Result<std::unique_ptr<Impairment>> Impairment::create(const ImpairmentConfig& config) {
  auto pool = Pool::create(config.queue, max_packet_size);
  if (!pool) return tl::unexpected(pool.error());
  return std::unique_ptr<Impairment>(new Impairment(config, std::move(*pool)));
}

Impairment::Impairment(const ImpairmentConfig& config, std::unique_ptr<Pool> pool)
    : config_(config), pool_(std::move(pool)), random_(config.seed) {
  heap_.reserve(config.queue);
}

// Packets that wait keep the departure that they were given. The queue's size stays: it is that of
// the pool.
void Impairment::reconfigure(const ImpairmentConfig& config) {
  if (config.seed != config_.seed) random_.seed(config.seed);
  config_ = config;
}

bool Impairment::chance(double probability) noexcept {
  if (probability <= 0) return false;
  return std::uniform_real_distribution<double>(0, 1)(random_) < probability;
}

void Impairment::enqueue(Batch& batch, Clock::time_point now, Counters& counters) noexcept {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto bytes = batch.bytes(i);
    if (bytes.size() > max_packet_size) {
      counters.drop(DropReason::too_big);
    } else if (chance(config_.loss)) {
      counters.drop(DropReason::impaired);
    } else {
      admit(bytes, now, counters);
      if (chance(config_.duplicate)) admit(bytes, now, counters);
    }
  }
  batch.clear();
}

void Impairment::admit(std::span<const std::byte> bytes, Clock::time_point now,
                       Counters& counters) noexcept {
  Packet packet = pool_->allocate();
  if (!packet) return counters.drop(DropReason::queue_full);
  std::memcpy(packet.data(), bytes.data(), bytes.size());
  packet.resize(bytes.size());
  const auto departure = departure_time(bytes.size(), now);
  heap_.push_back(Waiting{departure, next_number_++, std::move(packet)});
  std::ranges::push_heap(heap_, later);
}

Clock::time_point Impairment::departure_time(std::size_t size, Clock::time_point now) noexcept {
  auto sent = now;
  if (config_.rate > 0) {
    const auto bits = static_cast<double>(size) * 8;
    const auto duration = std::chrono::nanoseconds(
        static_cast<std::int64_t>(bits * 1e9 / static_cast<double>(config_.rate)));
    sent = std::max(now, line_free_) + duration;
    line_free_ = sent;
  }
  if (chance(config_.reorder)) return sent;
  auto delay = config_.delay;
  if (config_.jitter.count() > 0) {
    std::uniform_int_distribution<std::int64_t> spread(-config_.jitter.count(),
                                                       config_.jitter.count());
    delay =
        std::max(std::chrono::nanoseconds(0), delay + std::chrono::nanoseconds(spread(random_)));
  }
  last_in_order_ = std::max(last_in_order_, sent + delay);
  return last_in_order_;
}

void Impairment::dequeue(Batch& batch, Clock::time_point now) noexcept {
  while (!batch.full() && !heap_.empty() && heap_.front().departure <= now) {
    std::ranges::pop_heap(heap_, later);
    batch.push(std::move(heap_.back().packet));
    heap_.pop_back();
  }
}

}  // namespace warren
