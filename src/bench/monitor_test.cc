#include "bench/monitor.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace warren::bench {
namespace {

TEST(Monitor, ReadsAProcessWhateverItsNameIs) {
  const auto usage = parse_process_stat(
      "42 (a) S 1) b) R 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 1000 1000000 512 "
      "18446744073709551615 1 1\n");
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->ticks, 300U);
  EXPECT_EQ(usage->rss_pages, 512U);
}

TEST(Monitor, RefusesWhatIsNoProcess) {
  EXPECT_FALSE(parse_process_stat(""));
  EXPECT_FALSE(parse_process_stat("42 (gone"));
  EXPECT_FALSE(parse_process_stat("42 (short) S 1 2 3"));
}

TEST(Monitor, KeepsSoftirqApart) {
  const auto ticks =
      parse_system_stat("cpu  100 10 200 1000 50 5 30 7 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
  ASSERT_TRUE(ticks);
  EXPECT_EQ(ticks->busy, 345U);
  EXPECT_EQ(ticks->softirq, 30U);
  EXPECT_EQ(ticks->total, 1402U);
  EXPECT_FALSE(parse_system_stat("intr 5"));
}

TEST(Monitor, SeesThisProcessWork) {
  Monitor monitor({::getpid()});
  const auto begin = Monitor::Clock::now();
  monitor.sample();
  // Until the kernel has charged this process with ten of its ticks since then, however long that
  // takes on a busy machine.
  volatile unsigned work = 0;
  const auto charged = ::clock();
  while (::clock() - charged < CLOCKS_PER_SEC / 10) work = work + 1;
  monitor.sample();
  const auto usage = monitor.usage(begin, Monitor::Clock::now());
  ASSERT_TRUE(usage.cpu_avg);
  EXPECT_GT(*usage.cpu_avg, 0);
  EXPECT_GE(*usage.cpu_max, *usage.cpu_avg);
  EXPECT_GT(*usage.rss_avg_mib, 0);
}

TEST(Monitor, SaysNothingOfProgramsWhereNoneIsWatched) {
  Monitor monitor({});
  const auto begin = Monitor::Clock::now();
  monitor.sample();
  monitor.sample();
  EXPECT_FALSE(monitor.usage(begin, Monitor::Clock::now()).cpu_avg);
}

}  // namespace
}  // namespace warren::bench
