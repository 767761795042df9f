#include "carrier/name_lookup.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <mutex>
#include <optional>
#include <thread>

#include <warren/fd.h>

#include "carrier/route_devices.h"

namespace warren::carrier {

// What the thread that asks and the loop have in common; the thread may outlive the loop.
struct NameLookup::Shared {
  Fd event;
  std::mutex mutex;
  std::optional<Answer> answer;
};

Result<std::unique_ptr<NameLookup>> NameLookup::create(Loop& loop,
                                                       std::function<void(const Answer&)> done) {
  auto shared = std::make_shared<Shared>();
  shared->event = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared->event) return fail_errno("make an eventfd");
  std::unique_ptr<NameLookup> lookup(new NameLookup(shared));
  auto watch = loop.watch(shared->event.get(), [self = lookup.get(), done = std::move(done)] {
    std::uint64_t count = 0;
    (void)!::read(self->shared_->event.get(), &count, sizeof count);
    std::optional<Answer> answer;
    {
      const std::lock_guard lock(self->shared_->mutex);
      answer.swap(self->shared_->answer);
    }
    if (!answer) return;
    self->busy_ = false;
    done(*answer);
  });
  if (!watch) return tl::unexpected(watch.error());
  lookup->watch_ = std::move(*watch);
  return lookup;
}

void NameLookup::start(const std::string& host) {
  if (busy_) return;
  busy_ = true;
  std::thread([shared = shared_, host] {
    auto answer = resolve(host);
    {
      const std::lock_guard lock(shared->mutex);
      shared->answer = std::move(answer);
    }
    const std::uint64_t one = 1;
    (void)!::write(shared->event.get(), &one, sizeof one);
  }).detach();
}

}  // namespace warren::carrier
